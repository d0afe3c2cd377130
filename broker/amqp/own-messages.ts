/**
 * Messages that the adapter puts into session queues for itself. They go through the default exchange, which no publication does,
 * and are transient, as publications are: what the broker loses it loses together.
 */
import type { ConsumeMessage } from 'amqplib';

export const messageType = {
  /** Stands at the head of a continuity queue for as long as that is whole. */
  marker: 'warren.marker',
  /** As `marker`, where more of what belongs to the queue's birth follows, up to `birthEnd`. */
  birth: 'warren.birth',
  /** Worth nothing without `birth`: the notice between the two may have been dropped with it. */
  birthEnd: 'warren.birth-end',
  /** A notice of loss; its body is the reason. */
  lost: 'warren.lost',
  /** Its body is the text of the note. */
  note: 'warren.note',
  /** Comes back to whoever consumes the queue, and shows what lies before it. */
  probe: 'warren.probe',
  /** As `probe`, in a plain queue on its way from one owner to the next. */
  barrier: 'warren.barrier',
} as const;

export type OwnMessageType = (typeof messageType)[keyof typeof messageType];

export function isOwnMessage(message: ConsumeMessage): boolean {
  return message.fields.exchange === '';
}

export function ownType(message: ConsumeMessage): string {
  const { type } = message.properties as { readonly type?: unknown };
  return typeof type === 'string' ? type : '';
}
