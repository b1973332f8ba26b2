// A server for Node; VERSION is the release's.
const http = require('http');

const VERSION = 1;
let ending = false;
const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://x');
  const id = searchParams.get('id') || request.headers['x-request-id'] || '';
  const answer = () => {
    response.shouldKeepAlive &&= !ending; // else a client that asks again and again would keep the process alive
    response.end(`${id} ${process.pid} ${VERSION}\n`);
  };
  pathname === '/slow' ? setTimeout(answer, Number(searchParams.get('ms'))) : answer();
});
server.keepAliveTimeout = 75_000;
server.listen(process.env.LISTEN_FDS ? { fd: 3 } : { host: '127.0.0.1', port: Number(process.argv[2]) });
process.on('SIGTERM', () => {
  ending = true;
  server.close(); // and the connections that are idle now
});
