// An app that uses OpenAI's own package: asks for what ORDER says, and prints the answer, or what the package throws.
const { OpenAI } = require('openai');

const client = new OpenAI({ apiKey: process.env.KEY, baseURL: process.env.HOST + '/v1' });
const order = {"prompt": "a lighthouse at dusk"};

client.images.generate(order)
  .then((answer) => console.log(JSON.stringify({ answer })))
  .catch((error) => console.log(JSON.stringify({
    kind: error.constructor.name, status: error.status, code: error.code, type: error.type, param: error.param, message: error.message,
  })));
