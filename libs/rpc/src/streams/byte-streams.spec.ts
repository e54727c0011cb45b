import { InMemoryBroker, InMemoryBus } from '../bus/in-memory-bus.js';
import { byteStreamsConformance } from './byte-streams.conformance.js';

const broker = new InMemoryBroker();
byteStreamsConformance('memory', () => new InMemoryBus(broker));
