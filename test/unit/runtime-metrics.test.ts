import { expect } from 'chai';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';

describe('createMetrics', () => {
  let metrics: Metrics;
  beforeEach(() => {
    metrics = createMetrics();
  });
  afterEach(() => metrics.close());

  const lines = async () => (await metrics.scrape()).split('\n');

  it('shows a counter with its help, its type and one line per set of labels', async () => {
    const counter = metrics.counter('warren_events_total', 'Domain events by outcome.');
    counter.add(1, { outcome: 'done' });
    counter.add(2, { outcome: 'done' });
    counter.add(1, { outcome: 'dead-letter' });
    expect(await lines()).to.include.members([
      '# HELP warren_events_total Domain events by outcome.',
      '# TYPE warren_events_total counter',
      'warren_events_total{outcome="done"} 3',
      'warren_events_total{outcome="dead-letter"} 1',
    ]);
  });

  it('reads a gauge when it is scraped, so that it cannot drift', async () => {
    let sockets = 1;
    metrics.gauge('warren_sockets', 'Open sockets.', () => sockets);
    expect(await lines()).to.include('warren_sockets 1');
    sockets = 7;
    expect(await lines()).to.include('warren_sockets 7');
    expect(await lines()).to.include('# TYPE warren_sockets gauge');
  });

  it('shows a gauge with labels, and 0 for those that are gone', async () => {
    let roads: [number, { road: string }][] = [
      [1, { road: 'own' }],
      [2, { road: 'shared' }],
    ];
    metrics.gauge('warren_subscriptions', 'By road.', () => roads);
    expect(await lines()).to.include.members([
      'warren_subscriptions{road="own"} 1',
      'warren_subscriptions{road="shared"} 2',
    ]);
    roads = [[3, { road: 'own' }]];
    expect(await lines()).to.include.members([
      'warren_subscriptions{road="own"} 3',
      'warren_subscriptions{road="shared"} 0',
    ]);
  });

  it('sorts a histogram into the boundaries that were asked for', async () => {
    const histogram = metrics.histogram(
      'warren_confirm_seconds',
      'Publish to confirm.',
      [0.01, 0.1],
    );
    for (const value of [0.005, 0.05, 5]) histogram.record(value);
    expect(await lines()).to.include.members([
      '# TYPE warren_confirm_seconds histogram',
      'warren_confirm_seconds_bucket{le="0.01"} 1',
      'warren_confirm_seconds_bucket{le="0.1"} 2',
      'warren_confirm_seconds_bucket{le="+Inf"} 3',
      'warren_confirm_seconds_count 3',
    ]);
  });

  it('says nothing of the process: no command line, no paths', async () => {
    metrics.counter('warren_x_total', 'x').add(1);
    const text = await metrics.scrape();
    expect(text).to.not.match(/target_info|process_|otel_scope/);
    expect(text).to.not.include(process.cwd());
  });

  it('escapes label values', async () => {
    metrics.counter('warren_x_total', 'x').add(1, { reason: 'a"b\\c\nd' });
    expect(await lines()).to.include('warren_x_total{reason="a\\"b\\\\c\\nd"} 1');
  });

  it('keeps two instances apart', async () => {
    const other = createMetrics();
    other.counter('warren_x_total', 'x').add(1);
    expect(await metrics.scrape()).to.not.include('warren_x_total');
    await other.close();
  });
});
