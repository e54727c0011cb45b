import { InMemoryBroker, InMemoryBus } from './bus/in-memory-bus.js';
import { rpcConformance } from './rpc.conformance.js';

const broker = new InMemoryBroker();
rpcConformance('memory', () => new InMemoryBus(broker));
