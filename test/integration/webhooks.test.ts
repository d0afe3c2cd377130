import { expect } from 'chai';
import { createMemoryBroker, type MemoryBroker } from '../../broker/memory/broker.ts';
import type { WebhookQueues } from '../../broker/port.ts';
import { type AppId, parseAppId } from '../../contracts/ids.ts';
import type { WebhookEvent } from '../../contracts/pusher/webhook.ts';
import type { AppConfig, WebhookConfig } from '../../contracts/warren-config.ts';
import { targetId } from '../../edge/webhooks/targets.ts';
import { Webhooks, type WebhooksOptions } from '../../edge/webhooks/webhooks.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';
import { testApp } from '../support/app.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';
import {
  type ReceivedWebhook,
  sdkAccepts,
  startWebhookReceiver,
  type WebhookReceiver,
} from '../support/webhook-receiver.ts';

const all: WebhookConfig['events'] = [
  'channel_occupied',
  'channel_vacated',
  'member_added',
  'client_event',
  'cache_miss',
  'subscription_count',
];
const occupied = (channel: string): WebhookEvent => ({ name: 'channel_occupied', channel });

function appId(text: string): AppId {
  const id = parseAppId(text);
  if (id === undefined) throw new Error('not an app id');
  return id;
}

/** What one edge has, to be looked at. */
interface Edge {
  readonly webhooks: Webhooks;
  readonly broker: MemoryBroker;
  readonly metrics: Metrics;
  readonly lines: string[];
  metric(name: string): Promise<number>;
}

describe('Webhooks', () => {
  let receiver: WebhookReceiver;
  let host: MemoryBroker | undefined;
  const cleanups: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    receiver = await startWebhookReceiver();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    await host?.close();
    host = undefined;
    await receiver.close();
  });

  function hook(overrides: Partial<WebhookConfig> = {}): WebhookConfig {
    return { url: receiver.url, events: all, batch: false, ...overrides };
  }

  /** Edges of one test share a broker. */
  function edge(
    apps: () => readonly AppConfig[],
    clock: Clock = systemClock,
    overrides: Partial<WebhooksOptions> = {},
  ): Edge {
    host ??= createMemoryBroker({ clock });
    const broker = host.peer();
    const metrics = createMetrics();
    const lines: string[] = [];
    const webhooks = new Webhooks({
      queues: broker.webhookQueues,
      onStatus: (listener) => broker.onStatus(listener),
      apps,
      clock,
      log: createLog('debug', {}, { write: (line) => lines.push(line) }),
      metrics,
      allowPrivate: ['127.0.0.1'],
      ...overrides,
      timings: {
        // A clock that a test moves may run ahead of an answer that comes over a real socket.
        ...(clock === systemClock ? {} : { requestTimeoutMs: 3_600_000 }),
        ...overrides.timings,
      },
    });
    cleanups.push(async () => {
      const stopped = webhooks.stop(100);
      if (clock !== systemClock) await (clock as ManualClock).advanceAsync(100);
      await stopped;
      await broker.close();
      await metrics.close();
    });
    const metric = async (name: string) => {
      const text = await metrics.scrape();
      const values = text.split('\n').filter((line) => line.startsWith(name));
      return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    return { webhooks, broker, metrics, lines, metric };
  }

  const received = (count: number) =>
    eventually(() => expect(receiver.requests.length).to.be.at.least(count));

  describe('sends what Pusher sends', () => {
    it('one event per request, with headers and a signature that Pusher’s SDK accepts', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock(1_767_225_600_123);
      const { webhooks, metric } = edge(() => [app], clock);
      webhooks.start();
      const events: WebhookEvent[] = [
        occupied('room'),
        { name: 'member_added', channel: 'presence-room', user_id: 'ünï"7' },
        {
          name: 'client_event',
          channel: 'private-a',
          event: 'client-hi',
          data: '{"z":"é\u2028"}',
          socket_id: '1.2',
        },
        { name: 'subscription_count', channel: 'room', subscription_count: 3 },
      ];
      for (const event of events) webhooks.emit(app, event);
      await received(4);
      expect(receiver.requests.map((request) => request.events)).to.deep.equal(
        events.map((event) => [event]),
      );
      for (const request of receiver.requests) {
        expect(request.method).to.equal('POST');
        expect(request.path).to.equal('/hooks');
        expect(request.headers['content-type']).to.equal('application/json');
        expect(request.headers['user-agent']).to.equal('Warren');
        expect(request.headers['x-pusher-key']).to.equal(app.key);
        expect(request.timeMs).to.equal(1_767_225_600_123);
        expect(sdkAccepts(app, request)).to.equal(true);
        expect(sdkAccepts({ ...app, secret: 'other' }, request)).to.equal(false);
        const forged = { ...request, rawBody: request.rawBody.replace('room', 'roon') };
        if (forged.rawBody !== request.rawBody) expect(sdkAccepts(app, forged)).to.equal(false);
      }
      await eventually(async () => {
        expect(await metric('warren_webhook_events_sent_total')).to.equal(4);
      });
    });

    it('only the events that a webhook names, to each that names them', async () => {
      const second = await startWebhookReceiver();
      cleanups.push(() => second.close());
      const app = testApp({
        webhooks: [
          hook({ events: ['channel_occupied'] }),
          hook({ url: second.url, events: ['channel_occupied', 'channel_vacated'] }),
        ],
      });
      const { webhooks } = edge(() => [app]);
      webhooks.start();
      expect(webhooks.wants(app, 'channel_vacated')).to.equal(true);
      expect(webhooks.wants(app, 'member_added')).to.equal(false);
      webhooks.emit(app, { name: 'channel_vacated', channel: 'a' });
      webhooks.emit(app, { name: 'member_added', channel: 'presence-a', user_id: '1' });
      webhooks.emit(app, occupied('b'));
      await received(1);
      await eventually(() => expect(second.channels()).to.deep.equal(['a', 'b']));
      expect(receiver.channels()).to.deep.equal(['b']);
    });

    it('several waiting events in one request where the webhook batches, in order', async () => {
      const app = testApp({ webhooks: [hook({ batch: true })] });
      const { webhooks, metric } = edge(() => [app]);
      for (let at = 0; at < 120; at += 1) webhooks.emit(app, occupied(`room-${at}`));
      webhooks.start();
      await eventually(() => expect(receiver.channels()).to.have.length(120));
      expect(receiver.channels()).to.deep.equal(
        Array.from({ length: 120 }, (_, at) => `room-${at}`),
      );
      const sizes = receiver.requests.map(({ events }) => events.length);
      expect(Math.max(...sizes)).to.equal(50);
      expect(sizes.length).to.be.lessThan(10);
      for (const request of receiver.requests) expect(sdkAccepts(app, request)).to.equal(true);
      await eventually(async () => {
        expect(await metric('warren_webhook_events_sent_total')).to.equal(120);
      });
    });

    it('no batch above 256 KiB, and a larger event alone', async () => {
      const app = testApp({ webhooks: [hook({ batch: true })] });
      const { webhooks } = edge(() => [app]);
      const big = (channel: string, bytes: number): WebhookEvent => ({
        name: 'client_event',
        channel,
        event: 'client-a',
        data: 'x'.repeat(bytes),
        socket_id: '1.2',
      });
      for (const channel of ['a', 'b', 'c']) webhooks.emit(app, big(channel, 120_000));
      webhooks.emit(app, big('d', 300_000));
      webhooks.emit(app, big('e', 10));
      webhooks.start();
      await eventually(() => expect(receiver.channels()).to.have.length(5));
      const batches = receiver.requests.map(({ events }) => events.map(({ channel }) => channel));
      expect(batches.flat()).to.deep.equal(['a', 'b', 'c', 'd', 'e']);
      expect(batches).to.deep.include(['d']);
      for (const { events, rawBody } of receiver.requests) {
        if (events.length > 1) expect(rawBody.length).to.be.at.most(262_144);
      }
      expect(batches).to.deep.include(['a', 'b']);
    });

    it('each app’s events under its own key alone, also where apps share a URL', async () => {
      const apps = ['one', 'two', 'three'].map((name) =>
        testApp({
          id: appId(name),
          key: `key-${name}`,
          secret: `secret-${name}`,
          webhooks: [hook({ batch: true })],
        }),
      );
      const { webhooks } = edge(() => apps);
      for (let at = 0; at < 30; at += 1) {
        for (const app of apps) webhooks.emit(app, occupied(`${app.id}-${at}`));
      }
      webhooks.start();
      await eventually(() => expect(receiver.channels()).to.have.length(90));
      for (const request of receiver.requests) {
        const [app] = apps.filter(({ key }) => key === request.headers['x-pusher-key']);
        if (app === undefined) throw new Error('a request without the key of an app');
        expect(sdkAccepts(app, request)).to.equal(true);
        for (const { channel } of request.events)
          expect(channel).to.match(new RegExp(`^${app.id}-`));
      }
    });

    it('a channel’s cache_miss once in ten seconds', async () => {
      const other = testApp({ id: appId('other'), webhooks: [hook()] });
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const { webhooks } = edge(() => [app, other], clock);
      webhooks.start();
      const miss = (channel: string): WebhookEvent => ({ name: 'cache_miss', channel });
      for (let at = 0; at < 5; at += 1) webhooks.emit(app, miss('cache-a'));
      webhooks.emit(app, miss('cache-b'));
      webhooks.emit(other, miss('cache-a'));
      clock.advance(9_999);
      webhooks.emit(app, miss('cache-a'));
      clock.advance(1);
      webhooks.emit(app, miss('cache-a'));
      webhooks.emit(app, occupied('last'));
      await eventually(() => expect(receiver.channels()).to.include('last'));
      await received(5);
      const own = receiver.requests.filter(({ headers }) => headers['x-pusher-key'] === app.key);
      expect(receiver.channels().sort()).to.deep.equal([
        'cache-a',
        'cache-a',
        'cache-a',
        'cache-b',
        'last',
      ]);
      expect(own).to.have.length(5);
    });
  });

  describe('tries again', () => {
    it('what failed, in order, with nothing overtaking it', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const { webhooks, metric } = edge(() => [app], clock);
      receiver.answer(500, 410, 302);
      webhooks.start();
      for (const channel of ['a', 'b', 'c']) webhooks.emit(app, occupied(channel));
      for (const [failures, waitMs] of [
        [1, 1_000],
        [2, 2_000],
        [3, 4_000],
      ] as const) {
        await eventually(async () => {
          expect(await metric('warren_webhook_attempts_failed_total')).to.equal(failures);
        });
        await clock.advanceAsync(waitMs - 1);
        expect(receiver.requests).to.have.length(failures);
        await clock.advanceAsync(waitMs + 1);
      }
      await received(6);
      expect(receiver.channels()).to.deep.equal(['a', 'a', 'a', 'a', 'b', 'c']);
      const bodies = receiver.requests.slice(0, 4).map(({ rawBody }) => rawBody);
      expect(new Set(bodies).size).to.equal(1);
      expect(host?.webhookDeadLetters()).to.deep.equal([]);
    });

    it('a batch that failed before what waits behind it', async () => {
      const app = testApp({ webhooks: [hook({ batch: true })] });
      const clock = createManualClock();
      const { webhooks, metric } = edge(() => [app], clock);
      receiver.answer(500);
      for (const channel of ['a', 'b', 'c']) {
        const data = 'x'.repeat(200_000);
        const event = 'client-a';
        webhooks.emit(app, { name: 'client_event', channel, event, data, socket_id: '1.2' });
      }
      webhooks.start();
      await eventually(async () => {
        expect(await metric('warren_webhook_attempts_failed_total')).to.equal(1);
      });
      await clock.advanceAsync(2_000);
      await received(4);
      expect(receiver.channels()).to.deep.equal(['a', 'a', 'b', 'c']);
    });

    it('until the report is five minutes old, then gives it up with the last reason', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const { webhooks, metric, lines } = edge(() => [app], clock, {
        timings: { breakerRequests: 1_000 },
      });
      webhooks.start();
      receiver.answerAll(503);
      webhooks.emit(app, occupied('a'));
      await received(1);
      let elapsedMs = 0;
      const pass = async (ms: number) => {
        const before = receiver.requests.length;
        const failed = () => metric('warren_webhook_attempts_failed_total');
        await eventually(async () => expect(await failed()).to.equal(before));
        await clock.advanceAsync(ms);
        elapsedMs += ms;
        // A request that the step brought about has to be answered before the next.
        await new Promise((resolve) => setImmediate(resolve));
      };
      while (elapsedMs < 299_000) {
        await pass(1_000);
        expect(host?.webhookDeadLetters(), `after ${elapsedMs} ms`).to.deep.equal([]);
      }
      expect(receiver.requests.length).to.be.within(8, 12);
      await pass(999);
      expect(host?.webhookDeadLetters()).to.deep.equal([]);
      receiver.answerAll(200);
      await clock.advanceAsync(1);
      await eventually(() => expect(host?.webhookDeadLetters()).to.have.length(1));
      expect(host?.webhookDeadLetters()[0]?.reason).to.equal(
        'expired: older than five minutes; last: answered 503',
      );
      webhooks.emit(app, occupied('b'));
      await eventually(() => expect(receiver.channels().at(-1)).to.equal('b'));
      expect(await metric('warren_webhook_events_dead_lettered_total{cause="expired"')).to.equal(1);
      expect(lines.filter((line) => line.includes('given up'))).to.have.length(1);
    });

    it('a request that is not answered within ten seconds', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const { webhooks, metric } = edge(() => [app], clock, {
        timings: { requestTimeoutMs: 10_000 },
      });
      receiver.answer(() => undefined);
      webhooks.start();
      webhooks.emit(app, occupied('a'));
      await received(1);
      await clock.advanceAsync(10_000);
      await eventually(async () => {
        expect(await metric('warren_webhook_attempts_failed_total{cause="timeout"')).to.equal(1);
      });
      await clock.advanceAsync(2_000);
      await received(2);
      expect(receiver.channels()).to.deep.equal(['a', 'a']);
    });

    it('with the secret that the app has now', async () => {
      let app = testApp({ webhooks: [hook()] });
      const before = app;
      const clock = createManualClock();
      const { webhooks, metric } = edge(() => [app], clock);
      receiver.answer(500);
      webhooks.start();
      webhooks.emit(app, occupied('a'));
      await eventually(async () => {
        expect(await metric('warren_webhook_attempts_failed_total')).to.equal(1);
      });
      app = { ...app, key: 'key-2', secret: 'secret-2' };
      webhooks.reload();
      await clock.advanceAsync(2_000);
      await received(2);
      const [old, fresh] = receiver.requests as [ReceivedWebhook, ReceivedWebhook];
      expect(sdkAccepts(before, old)).to.equal(true);
      expect(sdkAccepts(app, fresh)).to.equal(true);
      expect(sdkAccepts(before, fresh)).to.equal(false);
      expect(fresh.events).to.deep.equal(old.events);
    });
  });

  describe('breaks the circuit', () => {
    it('after repeated failures, tries now and again, and closes it when the target is back', async () => {
      const app = testApp({ webhooks: [hook()] });
      const { webhooks, metric, lines } = edge(() => [app], systemClock, {
        timings: { retryMinMs: 1, retryMaxMs: 2, breakerRequests: 3, breakerOpenMs: 150 },
      });
      const open = () => metric('warren_webhook_breakers_open{app="app-id"');
      webhooks.start();
      receiver.answerAll(500);
      webhooks.emit(app, occupied('a'));
      webhooks.emit(app, occupied('b'));
      await eventually(async () => expect(await open()).to.equal(1));
      const atOpening = performance.now();
      expect(receiver.requests).to.have.length(3);
      await received(4);
      expect(performance.now() - atOpening).to.be.greaterThan(75);
      await received(5);
      receiver.answerAll(200);
      await eventually(() => expect(receiver.channels().at(-1)).to.equal('b'));
      await eventually(async () => expect(await open()).to.equal(0));
      const channels = receiver.channels();
      expect(channels.slice(0, -1)).to.deep.equal(new Array(channels.length - 1).fill('a'));
      const messages = lines.map((line) => (JSON.parse(line) as { message: string }).message);
      expect(messages).to.deep.equal(['webhook target is failing', 'webhook target works again']);
      const [failing] = lines.map((line) => JSON.parse(line) as { reason?: string });
      expect(failing?.reason).to.equal('answered 500');
    });

    it('for one target, and none of the others', async () => {
      const second = await startWebhookReceiver();
      cleanups.push(() => second.close());
      const app = testApp({ webhooks: [hook(), hook({ url: second.url })] });
      const { webhooks, metric } = edge(() => [app], systemClock, {
        timings: { retryMinMs: 1, retryMaxMs: 2, breakerRequests: 2, breakerOpenMs: 60_000 },
      });
      webhooks.start();
      receiver.answerAll(500);
      for (const channel of ['a', 'b', 'c']) webhooks.emit(app, occupied(channel));
      await eventually(async () => {
        expect(await metric('warren_webhook_breakers_open{app="app-id"')).to.equal(1);
      });
      await eventually(() => expect(second.channels()).to.deep.equal(['a', 'b', 'c']));
      expect(receiver.requests).to.have.length(2);
    });

    it('and gives up what becomes too old meanwhile', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const { webhooks, metric } = edge(() => [app], clock, {
        timings: { breakerRequests: 1, breakerOpenMs: 60_000 },
      });
      webhooks.start();
      receiver.answerAll(500);
      webhooks.emit(app, occupied('a'));
      await eventually(async () => {
        expect(await metric('warren_webhook_attempts_failed_total')).to.equal(1);
      });
      await clock.advanceAsync(299_999);
      expect(host?.webhookDeadLetters()).to.deep.equal([]);
      await clock.advanceAsync(1);
      await eventually(() => expect(host?.webhookDeadLetters()).to.have.length(1));
      expect(receiver.requests).to.have.length(1);
    });
  });

  describe('in a cluster', () => {
    it('has one sender per target, and loses nothing when that one stops', async () => {
      const app = testApp({ webhooks: [hook()] });
      const [first, second] = [edge(() => [app]), edge(() => [app])];
      let underWay = 0;
      let most = 0;
      receiver.answerAll((response) => {
        underWay += 1;
        most = Math.max(most, underWay);
        setImmediate(() => {
          underWay -= 1;
          response.writeHead(200).end();
        });
      });
      first.webhooks.start();
      second.webhooks.start();
      const sent = async () => [
        await first.metric('warren_webhook_events_sent_total'),
        await second.metric('warren_webhook_events_sent_total'),
      ];
      for (let at = 0; at < 40; at += 1) {
        (at % 2 === 0 ? first : second).webhooks.emit(app, occupied(`${at}`));
      }
      await eventually(() => expect(receiver.channels()).to.have.length(40));
      await eventually(async () => expect(await sent()).to.deep.equal([40, 0]));
      for (let at = 40; at < 80; at += 1) second.webhooks.emit(app, occupied(`${at}`));
      await received(45);
      await first.webhooks.stop(5_000);
      await eventually(() => expect(new Set(receiver.channels()).size).to.equal(80));
      await eventually(async () => {
        const [before = 0, after = 0] = await sent();
        expect(before + after).to.equal(80);
        expect(after).to.be.greaterThan(0);
      });
      expect(receiver.channels()).to.have.length(80);
      const order = (from: number, to: number, step: number) =>
        receiver
          .channels()
          .map(Number)
          .filter((at) => at >= from && at < to && at % step === 0);
      expect(order(40, 80, 1)).to.deep.equal(Array.from({ length: 40 }, (_, at) => at + 40));
      expect(order(0, 40, 2)).to.deep.equal(Array.from({ length: 20 }, (_, at) => at * 2));
      expect(most).to.equal(1);
    });

    it('takes over a report that the stopped edge could not deliver', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const first = edge(() => [app], clock);
      receiver.answer(500);
      first.webhooks.start();
      first.webhooks.emit(app, occupied('a'));
      first.webhooks.emit(app, occupied('b'));
      await eventually(async () => {
        expect(await first.metric('warren_webhook_attempts_failed_total')).to.equal(1);
      });
      const second = edge(() => [app], clock);
      second.webhooks.start();
      await first.webhooks.stop(1_000);
      await received(3);
      expect(receiver.channels()).to.deep.equal(['a', 'a', 'b']);
    });

    it('lets go of what it was handed before it lost the broker', async () => {
      const app = testApp({ webhooks: [hook({ batch: true })] });
      const clock = createManualClock();
      const [first, second] = [edge(() => [app], clock), edge(() => [app], clock)];
      receiver.answer(500);
      first.webhooks.start();
      await clock.advanceAsync(0);
      second.webhooks.start();
      for (const channel of ['a', 'b', 'c']) second.webhooks.emit(app, occupied(channel));
      await eventually(async () => {
        expect(await first.metric('warren_webhook_attempts_failed_total')).to.equal(1);
      });
      first.broker.setReachable(false);
      await eventually(async () => {
        expect(await second.metric('warren_webhook_events_sent_total')).to.equal(3);
      });
      first.broker.setReachable(true);
      await clock.advanceAsync(120_000);
      expect(receiver.channels()).to.deep.equal(['a', 'b', 'c', 'a', 'b', 'c']);
      expect(await second.metric('warren_webhook_events_sent_total')).to.equal(3);
      expect(await first.metric('warren_webhook_events_sent_total')).to.equal(0);
    });

    it('does not send again what it has sent when the broker hands it out again', async () => {
      const app = testApp({ webhooks: [hook()] });
      const { webhooks, broker } = edge(() => [app]);
      let answer = () => undefined as unknown;
      receiver.answer((response) => {
        answer = () => response.writeHead(200).end();
      });
      webhooks.start();
      webhooks.emit(app, occupied('a'));
      await received(1);
      broker.interrupt();
      await eventually(() => expect(broker.status().ready).to.equal(true));
      answer();
      webhooks.emit(app, occupied('b'));
      await eventually(() => expect(receiver.channels().at(-1)).to.equal('b'));
      expect(receiver.channels()).to.deep.equal(['a', 'b']);
    });

    it('does not send twice what reached the broker twice', async () => {
      const app = testApp({ webhooks: [hook()] });
      const inner = createMemoryBroker({ clock: systemClock });
      host = inner;
      let fail = true;
      const queues: WebhookQueues = {
        consume: (options) => inner.webhookQueues.consume(options),
        async publish(target, report) {
          await inner.webhookQueues.publish(target, report);
          if (fail) {
            fail = false;
            throw new Error('no confirm');
          }
        },
      };
      const { webhooks } = edge(() => [app], systemClock, { queues, timings: { republishMs: 1 } });
      webhooks.start();
      webhooks.emit(app, occupied('a'));
      webhooks.emit(app, occupied('b'));
      await eventually(() => expect(receiver.channels()).to.include('b'));
      webhooks.emit(app, occupied('c'));
      await eventually(() => expect(receiver.channels()).to.include('c'));
      expect(receiver.channels()).to.deep.equal(['a', 'b', 'c']);
    });

    it('keeps reports while the broker is away, and publishes them in order when it is back', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const { webhooks, broker, metric, lines } = edge(() => [app], clock, {
        timings: { maxWaiting: 100 },
      });
      webhooks.start();
      await clock.advanceAsync(0);
      host?.setOutage(true);
      for (let at = 0; at < 103; at += 1) webhooks.emit(app, occupied(`${at}`));
      await clock.advanceAsync(5_000);
      expect(webhooks.waiting).to.equal(100);
      expect(await metric('warren_webhook_events_waiting')).to.equal(100);
      expect(receiver.requests).to.deep.equal([]);
      host?.setOutage(false);
      await eventually(async () => {
        await clock.advanceAsync(100);
        expect(receiver.channels().at(-1)).to.equal('102');
      });
      const channels = receiver.channels().map(Number);
      expect(channels).to.have.length(100);
      expect(channels).to.deep.equal([...channels].sort((left, right) => left - right));
      expect(await metric('warren_webhook_events_dropped_total')).to.equal(3);
      expect(lines.filter((line) => line.includes('wait for the broker'))).to.have.length(1);
      expect(lines.filter((line) => line.includes('reach the broker again'))).to.have.length(1);
      expect(broker.status().ready).to.equal(true);
    });
  });

  describe('gives up at once', () => {
    it('what would go to a private address, and says in one line how to allow it', async () => {
      const app = testApp({ webhooks: [hook({ url: `${receiver.url}?token=hidden` })] });
      const { webhooks, metric, lines } = edge(() => [app], systemClock, { allowPrivate: [] });
      webhooks.start();
      for (const channel of ['a', 'b', 'c']) webhooks.emit(app, occupied(channel));
      await eventually(() => expect(host?.webhookDeadLetters()).to.have.length(3));
      for (const { reason } of host?.webhookDeadLetters() ?? []) {
        expect(reason).to.match(/^refused: 127\.0\.0\.1 is not .*WARREN_WEBHOOK_PRIVATE_TARGETS/);
      }
      expect(await metric('warren_webhook_events_dead_lettered_total{cause="refused"')).to.equal(3);
      expect(receiver.connected).to.equal(0);
      expect(lines).to.have.length(1);
      expect(lines.join()).to.include(`http://127.0.0.1:${receiver.port}`);
      expect(lines.join()).to.not.match(/hidden|app-secret|\/hooks/);
    });

    it('what waits for a webhook or an app that is gone', async () => {
      const app = testApp({ webhooks: [hook()] });
      let apps: readonly AppConfig[] = [app];
      const clock = createManualClock();
      const { webhooks, metric } = edge(() => apps, clock);
      const failed = (count: number) =>
        eventually(async () => {
          expect(await metric('warren_webhook_attempts_failed_total')).to.equal(count);
        });
      receiver.answerAll(500);
      webhooks.start();
      webhooks.emit(app, occupied('a'));
      webhooks.emit(app, occupied('b'));
      await failed(1);
      apps = [testApp()];
      webhooks.reload();
      await eventually(() => expect(host?.webhookDeadLetters()).to.have.length(2));
      apps = [app];
      webhooks.reload();
      webhooks.emit(app, occupied('c'));
      await failed(2);
      apps = [];
      webhooks.reload();
      await eventually(() => expect(host?.webhookDeadLetters()).to.have.length(3));
      expect(host?.webhookDeadLetters().map(({ reason }) => reason)).to.deep.equal([
        'gone: the webhook is not configured any more',
        'gone: the webhook is not configured any more',
        'gone: the app is not configured any more',
      ]);
      await clock.advanceAsync(300_000);
      await eventually(() =>
        expect(host?.counts()).to.deep.equal(createMemoryBroker({ clock }).counts()),
      );
    });

    it('what is no report of this app', async () => {
      const app = testApp({ webhooks: [hook()] });
      const { webhooks, broker } = edge(() => [app]);
      webhooks.start();
      const target = targetId(app.id, receiver.url);
      await broker.webhookQueues.publish(target, Buffer.from('{'));
      const foreign = { id: '1', app: 'other', target: '', timeMs: 1, event: occupied('a') };
      await broker.webhookQueues.publish(target, Buffer.from(JSON.stringify(foreign)));
      webhooks.emit(app, occupied('b'));
      await received(1);
      await eventually(() => expect(host?.webhookDeadLetters()).to.have.length(2));
      expect(host?.webhookDeadLetters().map(({ reason }) => reason)).to.deep.equal([
        'malformed: the report is no JSON object',
        'malformed: the report belongs to another app',
      ]);
      expect(receiver.channels()).to.deep.equal(['b']);
    });
  });

  describe('reload', () => {
    it('keeps a target that was gone for a moment', async () => {
      const app = testApp({ webhooks: [hook()] });
      let apps: readonly AppConfig[] = [app];
      const clock = createManualClock();
      const { webhooks } = edge(() => apps, clock);
      webhooks.start();
      for (const next of [[], [app]]) {
        apps = next;
        webhooks.reload();
      }
      await clock.advanceAsync(300_000);
      webhooks.emit(app, occupied('a'));
      await received(1);
    });

    it('begins with targets that are new, and changes how a target is sent to', async () => {
      let app = testApp();
      const { webhooks } = edge(() => [app]);
      webhooks.start();
      webhooks.emit(app, occupied('unheard'));
      app = testApp({ webhooks: [hook()] });
      webhooks.reload();
      for (const channel of ['a', 'b']) webhooks.emit(app, occupied(channel));
      await received(2);
      let release = () => undefined as unknown;
      receiver.answer((response) => {
        release = () => response.writeHead(200).end();
      });
      app = testApp({ webhooks: [hook({ batch: true })] });
      webhooks.reload();
      for (const channel of ['c', 'd', 'e', 'f']) webhooks.emit(app, occupied(channel));
      await received(3);
      release();
      await eventually(() => expect(receiver.channels()).to.have.length(6));
      expect(receiver.channels()).to.deep.equal(['a', 'b', 'c', 'd', 'e', 'f']);
      expect(receiver.requests.length).to.be.lessThan(6);
    });
  });

  describe('stop', () => {
    it('lets the request under way finish, sends no other, and leaves no timer and no connection', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      host = createMemoryBroker({ clock });
      const { webhooks, metric } = edge(() => [app], clock);
      let release = () => undefined as unknown;
      receiver.answer((response) => {
        release = () => response.writeHead(200).end();
      });
      webhooks.start();
      webhooks.emit(app, occupied('a'));
      webhooks.emit(app, occupied('b'));
      await received(1);
      const stopped = webhooks.stop(5_000);
      release();
      await stopped;
      await webhooks.stop(5_000);
      expect(receiver.channels()).to.deep.equal(['a']);
      expect(await metric('warren_webhook_events_sent_total')).to.equal(1);
      await eventually(async () => expect(await receiver.connections()).to.equal(0));
      // The embedded broker's own timer waits for the end of b's five minutes.
      expect(clock.pendingTimers).to.equal(1);
    });

    it('ends at its deadline, whatever the target and the broker do', async () => {
      const app = testApp({ webhooks: [hook()] });
      const clock = createManualClock();
      const { webhooks, metric, lines } = edge(() => [app], clock);
      receiver.answerAll(() => undefined);
      webhooks.start();
      webhooks.emit(app, occupied('a'));
      await received(1);
      host?.setOutage(true);
      webhooks.emit(app, occupied('b'));
      const stopped = webhooks.stop(5_000);
      await clock.advanceAsync(5_000);
      await stopped;
      await eventually(async () => expect(await receiver.connections()).to.equal(0));
      expect(await metric('warren_webhook_events_dropped_total')).to.equal(1);
      expect(lines.filter((line) => line.includes('are lost'))).to.have.length(1);
      webhooks.emit(app, occupied('c'));
      expect(await metric('warren_webhook_events_dropped_total')).to.equal(2);
    });

    it('does not wait for a broker that never came', async () => {
      const app = testApp({ webhooks: [hook()] });
      host = createMemoryBroker({ clock: systemClock });
      host.setOutage(true);
      const { webhooks } = edge(() => [app]);
      webhooks.start();
      await webhooks.stop(5_000);
      host.setOutage(false);
      await eventually(() => expect(host?.status().ready).to.equal(true));
      expect(receiver.requests).to.deep.equal([]);
    });
  });
});
