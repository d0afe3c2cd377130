/**
 * One hot channel: what a delivery costs, and how long it takes, beside a bare edge in the same run. `make bench` runs it; the figures
 * of one run compare with each other alone, since the machine is shared with whatever else it does.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { uniquePrefix } from '../test/support/broker.ts';
import { startCluster } from '../test/support/cluster.ts';
import type { ListenersOrder, ListenersReport } from './listeners.ts';
import { cpuMicroseconds, listenerOf } from './processes.ts';

const url = process.env['WARREN_BROKER_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';
const payloadBytes = 200;
const channelName = 'bench';
const deadlineMs = 120_000;

/** One way from a publisher to sockets. */
interface Way {
  readonly name: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly listeners: Listeners;
  /** By what they do, without the broker. */
  readonly processes: Readonly<Record<string, number>>;
}

interface Cost {
  /** Microseconds of CPU per delivery, by process. */
  readonly parts: Readonly<Record<string, number>>;
  readonly total: number;
  readonly perSecond: number;
}

class Listeners {
  readonly #child: ChildProcess;
  #waiting: ((report: ListenersReport) => void)[] = [];

  static async start(order: ListenersOrder): Promise<Listeners> {
    const listeners = new Listeners();
    const ready = listeners.#next();
    listeners.#child.send(order);
    await ready;
    return listeners;
  }

  constructor() {
    this.#child = forkHere('listeners.ts');
    this.#child.on('message', (report: ListenersReport) => this.#waiting.shift()?.(report));
  }

  async received(): Promise<{
    readonly deliveries: number;
    readonly latenciesMs: readonly number[];
  }> {
    const next = this.#next();
    this.#child.send('report');
    const report = await next;
    if (report.kind !== 'received') throw new Error('the listeners answered something else');
    return report;
  }

  stop(): void {
    this.#child.disconnect();
  }

  #next(): Promise<ListenersReport> {
    return new Promise((resolve, reject) => {
      const late = new Error(`the listeners did not answer within ${deadlineMs} ms`);
      const timer = setTimeout(() => reject(late), deadlineMs);
      this.#waiting.push((report) => {
        clearTimeout(timer);
        resolve(report);
      });
    });
  }
}

function forkHere(file: string, ...args: readonly string[]): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url));
  return fork(path, args, { execArgv: ['--import', 'tsx'] });
}

const body = () => {
  const start = `{"mark":"warren-bench","at":"@${Date.now()}","text":"`;
  return Buffer.from(`${start}${'x'.repeat(payloadBytes - start.length - 2)}"}`);
};

interface RunningWay extends Way {
  stop(): Promise<void>;
}

async function startWarren(count: number): Promise<RunningWay> {
  const cluster = await startCluster({
    edges: 1,
    routers: 1,
    url,
    config: `apps: [{ id: app-id, key: app-key, secret: app-secret }]
events: [{ on: 'bench.item', to: '${channelName}', as: item }]
`,
  });
  const [[edge], [router]] = [cluster.edges, cluster.routers];
  const listeners = await Listeners.start({
    port: edge?.port ?? 0,
    path: '/app/app-key?protocol=7',
    count,
    hello: `{"event":"pusher:subscribe","data":{"channel":"${channelName}"}}`,
    ready: 'subscription_succeeded',
    mark: 'warren-bench',
  });
  return {
    name: 'warren',
    exchange: cluster.names.domainEvents,
    routingKey: 'bench.item',
    listeners,
    processes: { edge: edge?.process.pid ?? 0, router: router?.process.pid ?? 0 },
    async stop() {
      listeners.stop();
      await cluster.stop();
    },
  };
}

async function startBare(count: number): Promise<RunningWay> {
  const exchange = `${uniquePrefix()}bare`;
  const child = forkHere('bare-edge.ts', url, exchange, 'bench');
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message: { port: number }) => resolve(message.port));
    child.once('exit', () => reject(new Error('the bare edge ended')));
  });
  const listeners = await Listeners.start({
    port,
    path: '/',
    count,
    hello: '',
    ready: '',
    mark: 'warren-bench',
  });
  return {
    name: 'bare ws',
    exchange,
    routingKey: 'bench',
    listeners,
    processes: { edge: child.pid ?? 0 },
    stop() {
      listeners.stop();
      child.disconnect();
      return Promise.resolve();
    },
  };
}

/** Publishes `messages` (all at once, or so many a second) and waits until every listener has every one. */
async function measure(
  way: Way,
  channel: ConfirmChannel,
  broker: number,
  { messages, count, perSecond }: { messages: number; count: number; perSecond?: number },
): Promise<Cost & { readonly latenciesMs: readonly number[] }> {
  const processes = { ...way.processes, broker };
  const cpu = () => Object.values(processes).map(cpuMicroseconds);
  const before = await way.listeners.received();
  const [cpuBefore, startedMs] = [cpu(), performance.now()];
  for (let n = 0; n < messages; n += 1) {
    channel.publish(way.exchange, way.routingKey, body(), { contentType: 'application/json' });
    if (perSecond !== undefined) {
      const dueMs = startedMs + ((n + 1) * 1_000) / perSecond;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
    } else if (n % 100 === 99) await new Promise(setImmediate);
  }
  await channel.waitForConfirms();
  const wanted = messages * count;
  const latenciesMs: number[] = [];
  let got = 0;
  while (got < wanted) {
    const now = await way.listeners.received();
    latenciesMs.push(...now.latenciesMs);
    got = now.deliveries - before.deliveries;
    if (performance.now() - startedMs > deadlineMs) {
      throw new Error(`${way.name}: ${got} of ${wanted} deliveries after ${deadlineMs} ms`);
    }
    if (got < wanted) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (got > wanted) throw new Error(`${way.name}: ${got} deliveries of ${wanted}`);
  const seconds = (performance.now() - startedMs) / 1_000;
  const spent = cpu().map((value, index) => (value - (cpuBefore[index] ?? 0)) / wanted);
  const parts = Object.fromEntries(
    Object.keys(processes).map((name, at) => [name, spent[at] ?? 0]),
  );
  return {
    parts,
    total: spent.reduce((sum, value) => sum + value, 0),
    perSecond: wanted / seconds,
    latenciesMs,
  };
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

const say = (text: string) => void process.stdout.write(`${text}\n`);

const median = (values: readonly number[]) => quantile(values, 0.5);

function line(name: string, costs: readonly Cost[]): string {
  const parts = Object.keys(costs[0]?.parts ?? {}).map(
    (part) => `${part} ${median(costs.map((cost) => cost.parts[part] ?? 0)).toFixed(2)}`,
  );
  const total = median(costs.map((cost) => cost.total)).toFixed(2);
  const rate = Math.round(median(costs.map((cost) => cost.perSecond)));
  return `  ${name.padEnd(8)} ${total.padStart(6)} µs of CPU per delivery (${parts.join(', ')}), ${rate} deliveries/s`;
}

async function broadcast(connection: ChannelModel, broker: number, count: number): Promise<void> {
  const channel = await connection.createConfirmChannel();
  const ways = [await startWarren(count), await startBare(count)];
  try {
    const messages = Math.ceil(deliveries / count);
    const costs = ways.map((): Cost[] => []);
    // The first pair warms up.
    for (let pair = 0; pair <= pairs; pair += 1) {
      for (const [at, way] of ways.entries()) {
        const cost = await measure(way, channel, broker, { messages, count });
        if (pair > 0) costs[at]?.push(cost);
      }
    }
    say(
      `\nbroadcast: ${messages} events of ${payloadBytes} bytes, published at once, to ${count} sockets; median of ${pairs} runs each, in turn`,
    );
    for (const [at, way] of ways.entries()) say(line(way.name, costs[at] ?? []));
    for (const perSecond of [10, 50]) {
      say(`paced: ${perSecond} events/s to ${count} sockets, publisher to socket`);
      for (const way of ways) {
        const { latenciesMs } = await measure(way, channel, broker, {
          messages: Math.ceil(perSecond * pacedSeconds),
          count,
          perSecond,
        });
        const [p50, p99] = [quantile(latenciesMs, 0.5), quantile(latenciesMs, 0.99)];
        say(`  ${way.name.padEnd(8)} p50 ${p50} ms, p99 ${p99} ms`);
      }
    }
  } finally {
    for (const way of ways) await way.stop();
    await channel.close();
  }
}

const pairs = Number(process.env['PAIRS'] || 3);
const deliveries = Number(process.env['DELIVERIES'] || 300_000);
const pacedSeconds = Number(process.env['SECONDS'] || 5);
const counts = (process.env['SUBSCRIBERS'] || '1000').split(',').map(Number);
const port = Number(new URL(url).port || 5672);
const broker = listenerOf(port);
if (broker === undefined) {
  say(
    `no process of this machine that we may look into listens on port ${port}: the broker's CPU time cannot be read`,
  );
  process.exit(1);
}
const connection = await connect(url);
for (const count of counts) await broadcast(connection, broker, count);
await connection.close();
