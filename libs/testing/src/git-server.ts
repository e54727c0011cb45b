/** Where everything below stands in a sandbox: outside the home, which tests look through. */
export const GIT_SERVER_DIR = '/tmp/git-server';

/**
 * Shell: a bare repository `repo.git` with three commits on `main`, a branch `feature` and a tag `v1` one and two commits behind,
 * a copy that names none of its branches, and an empty one. Git and its `http-backend` must be there.
 */
export const MAKE_REPOSITORIES = `set -e
command -v git >/dev/null || { echo 'Sandboxes find no git here. Install it: apt-get install git' >&2; exit 1; }
mkdir -p ${GIT_SERVER_DIR}/root && cd ${GIT_SERVER_DIR}
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@localhost GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@localhost GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main work
for number in 1 2 3; do echo $number > work/number.txt; git -C work add .; git -C work commit -q -m "commit $number"; done
git -C work branch feature HEAD~1
git -C work tag v1 HEAD~2
git clone -q --bare work root/repo.git
git -C root/repo.git update-server-info
cp -r root/repo.git root/detached.git
git -C root/detached.git update-ref --no-deref HEAD "$(git -C work rev-parse v1)"
git -C root/detached.git update-ref -d refs/tags/v1
git init -q --bare -b main root/empty.git`;

/** Shell: starts the server and prints its origins. @param authorization sha256 in hex of the `Authorization` it lets in */
export const startGitServer = (authorization: string): string => `cd ${GIT_SERVER_DIR}
/opt/gatehouse/node server.cjs ${authorization} >server.log 2>&1 </dev/null &
until [ -s origins.json ]; do kill -0 $! || { cat server.log >&2; exit 1; }; sleep 0.02; done
cat origins.json`;

/** What {@link startGitServer} prints. */
export interface GitOrigins {
  readonly origin: string;
  /** Another server, which asks for a credential and notes who shows one. */
  readonly other: string;
}

/**
 * The server, to be written to `server.cjs` there. It knows the credential by its hash only, so that nothing that is found of the
 * credential itself can be its doing. The first part of a path says how it behaves:
 *
 *   open: lets everybody in; private: asks for the credential; dumb: plain files
 *   held: as private, and then waits for a file `go`; moved: leads to private; away: asks for the credential, then leads to the other server;
 *   astray: leads there at once
 *   echo: refuses, and repeats what it was shown; silent: never answers; broken: breaks off in the middle
 *
 * `requests.log`: a line per request, `<server> <path> <shown a credential or not>`.
 */
export const GIT_SERVER = `
const { spawn } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const authorization = process.argv[2];
const root = path.resolve('root');
const note = (server, request) => fs.appendFileSync('requests.log', server + ' ' + request.url + (request.headers.authorization ? ' credential' : ' anonymous') + '\\n');
const refuse = response => response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
const isAllowed = ({ headers }) => createHash('sha256').update(headers.authorization || '').digest('hex') === authorization;

const backend = (request, response, pathname, query) => {
  const { headers, method } = request;
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH, GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: pathname, QUERY_STRING: query, REQUEST_METHOD: method,
      CONTENT_TYPE: headers['content-type'] || '', HTTP_CONTENT_ENCODING: headers['content-encoding'] || '', GIT_PROTOCOL: headers['git-protocol'] || '',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  request.pipe(child.stdin).on('error', () => {});
  const chunks = [];
  child.stdout.on('data', chunk => chunks.push(chunk));
  child.on('close', () => {
    const output = Buffer.concat(chunks);
    const end = output.indexOf('\\r\\n\\r\\n');
    const answer = Object.fromEntries(output.subarray(0, end).toString().split('\\r\\n').map(line => line.split(': ')));
    response.writeHead(parseInt(answer.Status || '200', 10), answer).end(output.subarray(end + 4));
  });
};
const whenLetGo = act => (fs.existsSync('go') ? act() : setTimeout(whenLetGo, 5, act));

const other = http.createServer((request, response) => (note('other', request), refuse(response)));
const server = http.createServer((request, response) => {
  note('server', request);
  const [pathname, query = ''] = request.url.split('?');
  const [, how, ...rest] = pathname.split('/');
  const below = '/' + rest.join('/');
  const served = () => backend(request, response, below, query);
  const behaviours = {
    open: served,
    private: () => (isAllowed(request) ? served() : refuse(response)),
    held: () => (isAllowed(request) ? whenLetGo(served) : refuse(response)),
    moved: () => response.writeHead(301, { location: '/private' + below + '?' + query }).end(),
    away: () => (isAllowed(request) ? behaviours.astray() : refuse(response)),
    astray: () => response.writeHead(302, { location: origins.other + below + '?' + query }).end(),
    echo: () => (request.headers.authorization ? response.writeHead(403, { 'content-type': 'text/plain' }).end('shown ' + request.headers.authorization) : refuse(response)),
    dumb: () => fs.readFile(path.join(root, below), (error, content) => (error ? response.writeHead(404).end() : response.writeHead(200, { 'content-type': 'text/plain' }).end(content))),
    silent: () => {},
    broken: () => response.socket.destroy(),
  };
  (behaviours[how] || (() => response.writeHead(404).end()))();
});
const origins = {};
const originOf = ({ address, port }) => 'http://' + address + ':' + port;
other.listen(0, '127.0.0.1', () => server.listen(0, '127.0.0.1', () => {
  Object.assign(origins, { origin: originOf(server.address()), other: originOf(other.address()) });
  fs.writeFileSync('origins.tmp', JSON.stringify(origins));
  fs.renameSync('origins.tmp', 'origins.json');
}));
`;
