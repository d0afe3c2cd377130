/** Metrics of the roads: read when scraped, so that they cost nothing per message. */
import type { Metrics } from '../../runtime/metrics.ts';
import type { RoadLoad } from './road-load.ts';
import type { SharedQueue } from './shared-queue.ts';

export function exposeRoads(
  metrics: Metrics,
  load: Pick<RoadLoad, 'ownQueues' | 'attaching'>,
  shared: Pick<SharedQueue, 'bindings' | 'lingering' | 'interruptions'>,
): void {
  metrics.gauge(
    'warren_own_queues',
    'Queues of single plain connections. At WARREN_OWN_QUEUES further connections share the queue of the edge.',
    () => load.ownQueues,
  );
  metrics.gauge(
    'warren_own_queues_attaching',
    'Own queues that the broker is still to declare. Staying above 0 means that it cannot keep up.',
    () => load.attaching,
  );
  const interruptions = metrics.counter(
    'warren_shared_queue_interruptions_total',
    'Times that the shared queue of this edge was lost with the broker: what was published meanwhile did not reach its subscribers.',
  );
  let counted = 0;
  // Observable gauges are read before counters are collected, so what the callback adds is in the same scrape.
  metrics.gauge(
    'warren_shared_bindings',
    'Channels bound to the shared queue of this edge, with those that nobody listens to any more.',
    () => {
      interruptions.add(shared.interruptions - counted);
      counted = shared.interruptions;
      return shared.bindings;
    },
  );
  metrics.gauge(
    'warren_shared_bindings_lingering',
    'Of these, the ones that nobody listens to: unbound a few seconds after the last subscriber left.',
    () => shared.lingering,
  );
}
