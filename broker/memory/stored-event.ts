/** A domain event as a queue holds it. */
import type { IncomingEvent } from '../../contracts/domain-event.ts';

export type StoredEvent = Omit<IncomingEvent, 'redelivered'>;
