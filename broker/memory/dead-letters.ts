/** Dead letters of the embedded broker: a walk takes them out, and puts back in place what is kept. */
import { deadLetterHeaders, readDeadLetter } from '../../contracts/dead-letter.ts';
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import { webhookQueueName } from '../../contracts/topology.ts';
import { isoTime } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import { type DeadLetters, type DeadLetterTally, maxDeadLetterWalk } from '../port.ts';
import type { Connection } from './connection.ts';
import type { RefusedEvent } from './router-queue.ts';
import type { WebhookDeadLetter } from './webhook-reports.ts';

/** Letters between two turns of the event loop. */
const pageSize = 300;

/** A dead-letter queue as a walk needs it. */
interface Letters<L> {
  readonly count: number;
  take(count: number): L[];
  giveBack(letters: readonly L[]): void;
  message(letter: L): IncomingEvent;
}

export function createDeadLetters(connection: Connection): DeadLetters {
  const { router, webhooks, names } = connection.host;
  const events: Letters<RefusedEvent> = {
    get count() {
      return router.deadLetters().length;
    },
    take: (count) => router.takeDeadLetters(count),
    giveBack: (letters) => router.returnDeadLetters(letters),
    message: eventMessage,
  };
  const reports: Letters<WebhookDeadLetter> = {
    get count() {
      return webhooks.deadLetters().length;
    },
    take: (count) => webhooks.takeDeadLetters(count),
    giveBack: (letters) => webhooks.returnDeadLetters(letters),
    message: (letter) => reportMessage(letter, webhookQueueName(names, letter.target)),
  };
  let closed = false;

  async function walk<L>(
    letters: Letters<L>,
    { limit, visit, progress, signal }: Parameters<DeadLetters['walk']>[0],
    replay: (event: IncomingEvent) => Promise<void>,
  ): Promise<DeadLetterTally> {
    const total = letters.count;
    let tally: DeadLetterTally = { total, visited: 0, dropped: 0, replayed: 0 };
    const inHand = letters.take(Math.min(limit, total));
    const kept: L[] = [];
    try {
      for (let next = inHand[0]; next !== undefined && signal?.aborted !== true; next = inHand[0]) {
        requireUp(connection, closed);
        const letter = readDeadLetter(letters.message(next));
        const fate = visit(letter);
        if (fate === 'replay') await replay(letter.event);
        if (fate === 'keep') kept.push(next);
        inHand.shift();
        tally = {
          total,
          visited: tally.visited + 1,
          dropped: tally.dropped + Number(fate === 'drop'),
          replayed: tally.replayed + Number(fate === 'replay'),
        };
        if (tally.visited % pageSize === 0) await turn();
        if (tally.visited % pageSize === 0 || inHand.length === 0) progress?.(tally);
      }
      return tally;
    } finally {
      letters.giveBack([...kept, ...inHand]);
    }
  }

  return {
    async walk(options) {
      const { limit, queue } = options;
      if (!Number.isInteger(limit) || limit < 1 || limit > maxDeadLetterWalk) {
        throw new RangeError(`a walk visits 1 to ${maxDeadLetterWalk} letters, not ${limit}`);
      }
      requireUp(connection, closed);
      if (queue === 'webhooks') {
        return await walk(reports, options, () => {
          throw new BrokerError('broker_topology', 'reports to webhooks cannot be replayed');
        });
      }
      return await walk(events, options, async (event) => {
        const accepted = await connection.publish(() => router.putBack(event));
        if (!accepted) throw new BrokerError('broker_refused', 'the router’s queue is full');
      });
    },
    async close() {
      closed = true;
    },
  };
}

function requireUp(connection: Connection, closed: boolean): void {
  if (closed) throw new BrokerError('closed', 'the connection was closed');
  if (!connection.up) {
    throw new BrokerError('broker_unavailable', 'no connection to the embedded broker');
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function eventMessage({ event, refusal, atMs }: RefusedEvent): IncomingEvent {
  return {
    ...event,
    redelivered: false,
    headers: {
      ...event.headers,
      [deadLetterHeaders.reason]: `${refusal.code}: ${refusal.text}`,
      [deadLetterHeaders.code]: refusal.code,
      [deadLetterHeaders.exchange]: event.exchange,
      [deadLetterHeaders.routingKey]: event.routingKey,
      [deadLetterHeaders.at]: isoTime(atMs),
    },
  };
}

function reportMessage({ body, reason, atMs }: WebhookDeadLetter, queue: string): IncomingEvent {
  return {
    exchange: '',
    routingKey: queue,
    body,
    contentType: 'application/json',
    redelivered: false,
    headers: {
      [deadLetterHeaders.reason]: reason,
      [deadLetterHeaders.exchange]: '',
      [deadLetterHeaders.routingKey]: queue,
      [deadLetterHeaders.at]: isoTime(atMs),
    },
  };
}
