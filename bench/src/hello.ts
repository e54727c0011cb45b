import Fastify from 'fastify';

/** The least a Fastify server can do: what everything else of the edge is compared with. */
const app = Fastify();
app.get('/', async () => ({ hello: 'world' }));
process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`);
