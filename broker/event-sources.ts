/** What both adapters make of the sources of domain events. */
import { isOwnExchange, isOwnQueue, type TopologyNames } from '../contracts/topology.ts';
import type { EventSources } from './port.ts';

export interface CheckedSources {
  readonly patterns: readonly string[];
  /** With the one that services publish to as the first; each once. */
  readonly exchanges: readonly string[];
  /** Those of others; each once. */
  readonly queues: readonly string[];
  /** Sentences about what was left out. */
  readonly problems: readonly string[];
}

/** Leaves out what Warren keeps for itself: its publications as domain events would go round and round. */
export function checkSources(sources: EventSources, names: TopologyNames): CheckedSources {
  const { patterns, exchanges = [], queues = [] } = sources;
  const ownExchanges = exchanges.filter((name) => isOwnExchange(names, name));
  const ownQueues = queues.filter((name) => isOwnQueue(names, name));
  const left = (kind: string) => (name: string) =>
    `the ${kind} ${name} is Warren's own and cannot be a source of domain events`;
  return {
    patterns,
    exchanges: [...new Set([names.domainEvents, ...exchanges])].filter(
      (name) => !ownExchanges.includes(name),
    ),
    queues: [...new Set(queues)].filter((name) => !ownQueues.includes(name)),
    problems: [...ownExchanges.map(left('exchange')), ...ownQueues.map(left('queue'))],
  };
}
