import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { Broker, BrokerStatus, ConsumeOptions, Consumption } from '../../broker/port.ts';
import { loadConfig } from '../../config/load.ts';
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
  const state = { status };
  const consumption: Consumption = {
    rebind: () => Promise.resolve(),
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
    channelPublisher: { publish: () => Promise.resolve({ routed: true }) },
    status: () => state.status,
  } as unknown as Broker;
  return { broker, calls, stops, state };
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
    const loaded = loadConfig(
      'events:\n  - { on: a, to: x }\n  - { on: b, to: x }\n  - { on: a, to: y }',
      {
        path: 'warren.yaml',
        production: false,
      },
    );
    if (!loaded.ok) throw new Error('not reached');
    const role = await startRouter({
      broker: fake.broker,
      config: loaded.config,
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
});
