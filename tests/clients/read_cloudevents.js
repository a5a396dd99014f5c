// Reads {"headers", "body"} objects, one a line, and prints for each what the library makes of it.
const { HTTP } = require('cloudevents');
const lines = require('readline').createInterface({ input: process.stdin });

lines.on('line', (line) => {
  const event = HTTP.toEvent(JSON.parse(line));
  event.validate();
  console.log(JSON.stringify(event));
});
