// Reads {"secret", "body", "headers"} objects, one a line, and prints for each whether the library that is named takes it.
const { Webhook } = require(process.argv[2]);
const lines = require('readline').createInterface({ input: process.stdin });

lines.on('line', (line) => {
  const { secret, body, headers } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log('verified');
  } catch (error) {
    console.log(error.message);
  }
});
