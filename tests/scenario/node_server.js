// An echo server by npm's ws: node_server.js PORT|PATH [deflate]. Prints where it listens. Chooses the first subprotocol
// that is offered; with deflate it compresses. The text "close CODE REASON" makes it close; "who" makes it tell the
// request's path and headers.
'use strict';

const http = require('http');
const { WebSocketServer } = require('ws');

const [, , place, deflate] = process.argv;
const where = /^\d+$/.test(place) ? { port: Number(place), host: '127.0.0.1' } : { path: place };
const server = http.createServer((request, response) => {
  response.writeHead(418, { 'Content-Type': 'text/plain' });
  response.end('no WebSocket\n');
});
const sockets = new WebSocketServer({ server, maxPayload: 64 << 20, perMessageDeflate: deflate === 'deflate' });

sockets.on('connection', (socket, request) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString();
    const close = /^close (\d+) ?(.*)$/.exec(text);
    if (close)
      socket.close(Number(close[1]), close[2]);
    else if (text === 'who')
      socket.send(JSON.stringify({ url: request.url, headers: request.headers }));
    else
      socket.send(data, { binary: isBinary });
  });
});
server.listen(where, () => console.log(server.address().port ?? server.address()));
