import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type {
  Broker,
  BrokerStatus,
  ConsumeOptions,
  Consumption,
  EventSources,
} from '../../broker/port.ts';
import { loadConfig } from '../../config/load.ts';
import type { Publication } from '../../contracts/publication.ts';
import type { WarrenConfig } from '../../contracts/warren-config.ts';
import { startRouter } from '../../router/main.ts';
import type { Log } from '../../runtime/log.ts';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';
import { createManualClock } from '../support/manual-clock.ts';

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};

function fakeBroker(status: BrokerStatus) {
  const calls: {
    readonly options: ConsumeOptions;
    open(): void;
    fail(error: Error): void;
  }[] = [];
  const stops: number[] = [];
  const published: string[] = [];
  const state = { status };
  const rebinds: {
    readonly sources: EventSources;
    bound(): void;
    apply(): void;
    fail(error: Error): void;
  }[] = [];
  const consumption: Consumption = {
    rebind: (sources, between = () => undefined) =>
      new Promise((resolve, reject) => {
        rebinds.push({ sources, bound: between, apply: resolve, fail: reject });
      }),
    stop: (deadlineMs) => {
      stops.push(deadlineMs);
      return Promise.resolve();
    },
  };
  const broker = {
    domainEvents: {
      consume: (options: ConsumeOptions) =>
        new Promise<Consumption>((resolve, reject) => {
          calls.push({ options, open: () => resolve(consumption), fail: reject });
        }),
      publish: () => Promise.resolve(),
    },
    channelPublisher: {
      publish: ({ channel }: Publication) => {
        published.push(channel);
        return Promise.resolve({ routed: true });
      },
    },
    status: () => state.status,
  } as unknown as Broker;
  return { broker, calls, stops, state, published, rebinds };
}

function configOf(text: string): WarrenConfig {
  const loaded = loadConfig(text, { path: 'warren.yaml', production: false });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('startRouter', () => {
  let metrics: Metrics;
  beforeEach(() => {
    metrics = createMetrics();
  });
  afterEach(() => metrics.close());

  async function start(status: BrokerStatus = { ready: true }) {
    const fake = fakeBroker(status);
    const clock = createManualClock();
    const config = configOf(
      'events:\n  - { on: a, to: x }\n  - { on: b, to: x }\n  - { on: a, to: y }',
    );
    const role = await startRouter({
      broker: fake.broker,
      config,
      settings: { routerPrefetch: 200 },
      clock,
      log: silent,
      metrics,
    });
    return { ...fake, clock, role };
  }

  it('starts at once with the broker away, and says why it is not ready', async () => {
    const { role, calls, state } = await start({ ready: false, reason: 'connection refused' });
    expect(role.readiness()).to.deep.equal({
      ready: false,
      reason: 'the queue of the router is not open: connection refused',
    });
    calls[0]?.open();
    state.status = { ready: true };
    await settled();
    expect(role.readiness()).to.deep.equal({ ready: true });
    state.status = { ready: false, reason: 'memory alarm' };
    expect(role.readiness()).to.deep.equal({ ready: false, reason: 'memory alarm' });
    await role.stop(0);
  });

  it('consumes the patterns of the rules, each once, with the prefetch of the settings', async () => {
    const { role, calls } = await start();
    expect(calls[0]?.options).to.deep.include({ patterns: ['a', 'b'], prefetch: 200 });
    await role.stop(0);
  });

  it('stops the consumption within the drain, once', async () => {
    const { role, calls, stops } = await start();
    calls[0]?.open();
    await settled();
    await Promise.all([role.stop(1_234), role.stop(5)]);
    expect(stops).to.deep.equal([1_234]);
    expect(role.readiness()).to.deep.equal({ ready: false, reason: 'the router is stopping' });
  });

  it('lets go of a queue that opens after the stop', async () => {
    const { role, calls, stops } = await start({ ready: false });
    await role.stop(1_000);
    calls[0]?.open();
    await settled();
    expect(stops).to.deep.equal([0]);
  });

  it('tries again where the queue cannot be opened, until it is stopped', async () => {
    const { role, calls, clock } = await start();
    calls[0]?.fail(new BrokerError('broker_forbidden', 'no permission on router.events'));
    await settled();
    expect(role.readiness()).to.deep.include({
      reason: 'the queue of the router is not open: no permission on router.events',
    });
    await clock.advanceAsync(5_000);
    expect(calls).to.have.length(2);
    calls[1]?.fail(new BrokerError('broker_forbidden', 'no'));
    await settled();
    await role.stop(0);
    await clock.advanceAsync(60_000);
    expect(calls).to.have.length(2);
    expect(clock.pendingTimers).to.equal(0);
  });

  describe('reload', () => {
    const event = {
      exchange: 'domain.events',
      routingKey: 'a',
      headers: {},
      body: Buffer.from('{}'),
      redelivered: false,
    };

    async function running() {
      const started = await start();
      started.calls[0]?.open();
      await settled();
      const route = async () => {
        started.published.length = 0;
        await started.calls[0]?.options.handle(event);
        return started.published.join(' ');
      };
      return { ...started, route };
    }

    it('exchanges the rules when the new patterns are bound, and not before', async () => {
      const { role, rebinds, route } = await running();
      role.reload(configOf('events: [{ on: a, to: z }]\ningress: { exchanges: [e], queues: [q] }'));
      await settled();
      expect(rebinds[0]?.sources).to.deep.equal({
        patterns: ['a'],
        exchanges: ['e'],
        queues: ['q'],
      });
      expect(await route()).to.equal('x y');
      rebinds[0]?.bound();
      expect(await route()).to.equal('z');
      rebinds[0]?.apply();
      await settled();
      expect(await route()).to.equal('z');
      expect(rebinds).to.have.length(1);
      await role.stop(0);
    });

    it('asks for one change at a time, and skips those that were overtaken', async () => {
      const { role, rebinds, route } = await running();
      for (const to of ['one', 'two', 'three']) {
        role.reload(configOf(`events: [{ on: a, to: ${to} }, { on: ${to}, to: x }]`));
      }
      expect(rebinds).to.have.length(1);
      rebinds[0]?.bound();
      rebinds[0]?.apply();
      await settled();
      expect(rebinds.map(({ sources }) => sources.patterns)).to.deep.equal([
        ['a', 'one'],
        ['a', 'three'],
      ]);
      rebinds[1]?.bound();
      rebinds[1]?.apply();
      await settled();
      expect([await route(), rebinds.length]).to.deep.equal(['three', 2]);
      await role.stop(0);
    });

    it('keeps the rules where a change fails, and tries again by itself', async () => {
      const { role, rebinds, route, clock } = await running();
      role.reload(configOf('events: [{ on: a, to: z }]'));
      rebinds[0]?.fail(new BrokerError('broker_unavailable', 'away'));
      await settled();
      expect(await route()).to.equal('x y');
      await clock.advanceAsync(5_000);
      expect(rebinds).to.have.length(2);
      rebinds[1]?.fail(new BrokerError('broker_unavailable', 'away'));
      await settled();
      role.reload(configOf('events: [{ on: a, to: newest }]'));
      await settled();
      expect(rebinds).to.have.length(3);
      rebinds[2]?.bound();
      rebinds[2]?.apply();
      await settled();
      expect(await route()).to.equal('newest');
      await clock.advanceAsync(60_000);
      expect(rebinds).to.have.length(3);
      await role.stop(0);
      expect(clock.pendingTimers).to.equal(0);
    });

    it('changes nothing where nothing of it concerns the router', async () => {
      const { role, rebinds } = await running();
      role.reload(
        configOf(
          `events:\n  - { on: a, to: x }\n  - { on: b, to: x }\n  - { on: a, to: y }\nchannels: [{ name: 'private-x', allow: 'true' }]`,
        ),
      );
      await settled();
      expect(rebinds).to.deep.equal([]);
      await role.stop(0);
    });

    it('is taken up when the queue opens, where it was not open yet', async () => {
      const { role, calls, rebinds } = await start({ ready: false, reason: 'away' });
      role.reload(configOf('events: [{ on: a, to: z }]'));
      calls[0]?.open();
      await settled();
      expect(rebinds[0]?.sources.patterns).to.deep.equal(['a']);
      await role.stop(0);
    });

    it('comes too late once the router is stopped', async () => {
      const { role, rebinds } = await running();
      await role.stop(0);
      role.reload(configOf('events: [{ on: a, to: z }]'));
      await settled();
      expect(rebinds).to.deep.equal([]);
    });
  });

  it('is not ready while it lacks a source, and says which', async () => {
    const { role, calls } = await start();
    calls[0]?.open();
    await settled();
    calls[0]?.options.problems?.(['the exchange e does not exist', 'the queue q does not exist']);
    expect(role.readiness()).to.deep.equal({
      ready: false,
      reason:
        'the router lacks a source: the exchange e does not exist; the queue q does not exist',
    });
    calls[0]?.options.problems?.([]);
    expect(role.readiness()).to.deep.equal({ ready: true });
    await role.stop(0);
  });
});
