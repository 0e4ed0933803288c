// An application with pages and WebSockets on one port, by Node's http server and npm's ws: node_app.js PORT|PATH.
// Prints where it listens. What a path does is said below; every other path echoes the request as JSON.
'use strict';

const crypto = require('crypto');
const http = require('http');
const { WebSocketServer } = require('ws');

const [, , place] = process.argv;
const where = /^\d+$/.test(place) ? { port: Number(place), host: '127.0.0.1' } : { path: place };
let connections = 0;

// COUNT blocks of 64 KiB as the reader takes them
function pour(response, count) {
  const block = Buffer.alloc(65536, 'x');
  const more = () => {
    while (count-- > 0)
      if (!response.write(block))
        return response.once('drain', more);
    response.end();
  };
  more();
}

// MIB of what nobody could guess, in pieces of random sizes; their size and hash are in the trailers
function noise(response, mib) {
  const block = crypto.randomBytes(4194304);
  const hash = crypto.createHash('sha256');
  const total = mib * 1048576;
  let size = 0;
  response.writeHead(200, { Trailer: 'size, sha256' });
  const more = () => {
    while (size < total) {
      const at = Math.floor(Math.random() * 2097152);
      const piece = block.subarray(at, at + Math.min(total - size, 1 + Math.floor(Math.random() * 1000000)));
      hash.update(piece);
      size += piece.length;
      if (!response.write(piece))
        return response.once('drain', more);
    }
    response.addTrailers({ size, sha256: hash.digest('hex') });
    response.end();
  };
  more();
}

// posts to itself and echoes by a WebSocket, and shows both in document.title
const page = `<!DOCTYPE html><title>begun</title><script>
(async () => {
  const posted = await (await fetch('/post', { method: 'POST', body: 'x'.repeat(100000) })).json();
  const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws');
  socket.onopen = () => socket.send('hello');
  socket.onmessage = (event) => { document.title = event.data + ' ' + posted.size; socket.close(); };
})();
</script>`;

const pages = {
  '/page': (request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(page),
  '/length': (request, response) => response.writeHead(200, { 'Content-Length': 10 }).end('0123456789'),
  '/none': (request, response) => response.writeHead(204).end(),
  '/not-modified': (request, response) => response.writeHead(304, { ETag: '"1"' }).end(),
  '/hints': (request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    response.end('page');
  },
  '/events': (request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write('data: first\n\n');
    request.on('close', () => console.log('gone'));
    setTimeout(() => response.end('data: last\n\n'), 1500);
  },
  '/echo': (request, response) => request.pipe(response),
  // the body comes back, and trailers: the request's with "back-" before their names, and some that may not stand there
  '/trailers': (request, response) => {
    response.writeHead(200, { Trailer: 'grpc-status', 'X-TE': request.headers.te ?? 'none' });
    request.on('data', (data) => response.write(data));
    request.on('end', () => {
      const back = Object.entries(request.trailers).map(([name, value]) => ['back-' + name, value]);
      response.addTrailers({ ...Object.fromEntries(back), 'grpc-status': '0', 'set-cookie': 'a=b' });
      response.end();
    });
  },
  '/pour': (request, response, query) => pour(response, Number(query)),
  '/count': (request, response) => {
    let size = 0;
    request.on('data', (data) => { size += data.length; });
    request.on('end', () => response.end(JSON.stringify({ size })));
  },
  '/noise': (request, response, query) => noise(response, Number(query)),
  '/die': (request, response, query) => {
    response.writeHead(200, query ? { 'Content-Length': query } : {});
    response.write('partial', () => request.socket.destroy());
  },
  '/connections': (request, response) => response.end(String(connections)),
};

const server = http.createServer((request, response) => {
  const [path, query] = request.url.split('?');
  response.setHeader('X-Connection', request.socket.number);
  if (pages[path])
    return pages[path](request, response, query);
  const hash = crypto.createHash('sha256');
  let size = 0;
  request.on('data', (data) => {
    hash.update(data);
    size += data.length;
  });
  request.on('end', () => {
    const { method, url, headers, rawHeaders } = request;
    const found = { method, url, headers, rawHeaders, size, sha256: hash.digest('hex') };
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(found));
  });
});
server.requestTimeout = 0;
server.on('connection', (socket) => { socket.number = ++connections; });
new WebSocketServer({ server, path: '/ws' }).on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(where, () => console.log(server.address().port ?? server.address()));
