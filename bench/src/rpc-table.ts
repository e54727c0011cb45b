import { rpcBench } from './rpc.bench.js';
import { ms, perSecond, printTable, ratio, verdict } from './table.js';

export const printRpcBench = async (redisUrl: string): Promise<void> => {
  const { calls: rows, streams } = await rpcBench(redisUrl);
  printTable(
    'RPC: client, service and Redis in three processes, validation included; median of interleaved rounds',
    ['what', 'at once', 'calls', 'p50', 'p99', 'of a PING'],
    rows.map(({ what, concurrency, perSecond: rate, p50Ms, p99Ms, timesPing }) => [what, String(concurrency), perSecond(rate), ms(p50Ms), ms(p99Ms), ratio(timesPing)]),
  );
  const mb = (value: number): string => `${value} MB/s`;
  printTable('Byte streams: sender, receiver and Redis in three processes, encrypted; median of interleaved rounds', ['what', 'MiB', 'rate'], streams.map(({ what, bytes, mbPerSecond }) => [what, String(bytes / 2 ** 20), mb(mbPerSecond)]));
  const call = (concurrency: number) => rows.find(row => row.what === 'call' && row.concurrency === concurrency);
  const [alone, many] = [call(1)?.p50Ms ?? Number.NaN, call(64)?.perSecond ?? Number.NaN];
  const gigabyte = streams.find(({ what, bytes }) => what === 'stream' && bytes === 2 ** 30)?.mbPerSecond ?? Number.NaN;
  printTable('Claims', ['claim', 'measured', 'holds'], [
    verdict('one call at a time, p50 at most 0.5 ms', alone, alone <= 0.5, ms(alone)),
    verdict('64 at once, at least 10,000/s', many, many >= 10_000, perSecond(many)),
    verdict('a stream of 1 GiB, at least 200 MB/s', gigabyte, gigabyte >= 200, mb(gigabyte)),
  ]);
};
