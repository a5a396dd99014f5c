// An app as Kie's quickstart has it: submits, asks for the record until its flag is set, and prints that, or what went wrong.
const headers = { 'Authorization': 'Bearer ' + process.env.KEY, 'Content-Type': 'application/json' };

const order = {"prompt": "a lighthouse at dusk"};

async function call(path, init) {
  const response = await fetch(process.env.HOST + '/api/v1/flux/kontext' + path, { headers, ...init });
  const result = await response.json();
  if (!response.ok || result.code !== 200) {
    throw Object.assign(new Error(result.msg), { status: response.status, code: result.code });
  }
  return result.data;
}

async function waitForCompletion(taskId) {
  for (;;) {
    const record = await call('/record-info?taskId=' + taskId);
    switch (record.successFlag) {
      case 0:
        await new Promise((resolve) => setTimeout(resolve, 200));
        break;
      case 1:
        return record;
      default:
        throw Object.assign(new Error(record.errorMessage), { flag: record.successFlag, code: record.errorCode });
    }
  }
}

call('/generate', { method: 'POST', body: JSON.stringify(order) })
  .then(({ taskId }) => waitForCompletion(taskId))
  .then((record) => console.log(JSON.stringify({ record })))
  .catch((error) => console.log(JSON.stringify({ ...error, msg: error.message })));
