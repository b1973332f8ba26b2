// A plain program for Node: it takes its socket from LISTEN_FDS, and finishes what it has begun when it is told to end.
const http = require('http');

if (process.env.LISTEN_PID !== String(process.pid) || process.env.LISTEN_FDS !== '1') {
  throw new Error('no socket for this process');
}
const server = http.createServer((request, response) => {
  const id = new URL(request.url, 'http://x').searchParams.get('id') || request.headers['x-request-id'] || '';
  response.end(`${id} ${process.pid} 0\n`);
});
server.listen({ fd: 3 });
process.on('SIGTERM', () => server.close());
