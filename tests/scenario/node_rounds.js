// Clients by npm's ws that keep context: node_rounds.js URL COUNT. For each line on stdin every one of them sends some
// messages to an echo, each of which repeats what it said before; when all are back it prints the extensions. Exit
// status 1 and why on stderr if an echo is wrong.
'use strict';

const readline = require('readline');
const WebSocket = require('ws');

const [, , url, count] = process.argv;
const sockets = [];
let rounds = 0;
let waiting = 0;

function fail(why) {
  console.error(String(why));
  process.exit(1);
}

function text(id, k) {
  return `message ${k} of ${id}: ` + `${id * 7919} and what it says again and again, `.repeat(20 + 10 * k);
}

function open(id) {
  const socket = new WebSocket(url, { perMessageDeflate: { threshold: 0 } });
  socket.on('error', fail);
  socket.on('open', () => ++waiting === Number(count) && console.log('open'));
  socket.on('close', (code) => fail(`closed with ${code}`));
  socket.on('message', (data) => {
    const want = socket.expected.shift();
    if (data.toString() !== want)
      fail(`got ${data.length} bytes in round ${rounds}, not ${want.length}`);
    if (--waiting === 0)
      console.log(socket.extensions);
  });
  socket.expected = [];
  sockets.push(socket);
}

for (let id = 0; id < Number(count); id++)
  open(id);
readline.createInterface({ input: process.stdin }).on('line', () => {
  rounds++;
  waiting = sockets.length * 4;
  sockets.forEach((socket, id) => {
    for (let k = 0; k < 4; k++) {
      socket.expected.push(text(id, k));
      socket.send(text(id, k));
    }
  });
}).on('close', () => process.exit(0));
