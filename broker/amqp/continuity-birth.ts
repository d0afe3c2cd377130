/** Makes a continuity queue: declared, then given its head, and only then may anything be bound to it. */
import type { ChannelModel } from 'amqplib';
import { BrokerError } from '../errors.ts';
import type { LossNotice } from '../port.ts';
import { isReplyTo } from './bindings.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import { closeChannel, type LaneChannels } from './lane.ts';
import { replyCode, replyCodeOf, toBrokerError } from './link.ts';
import { messageType, type OwnMessageType } from './own-messages.ts';

export interface ContinuityShape {
  readonly name: string;
  readonly windowMs: number;
  /** `x-max-length` */
  readonly length: number;
}

export interface Birth {
  /** The notice that the queue begins with. */
  readonly lost: LossNotice['reason'] | undefined;
  /** The note that the former queue held. */
  readonly note: Note | undefined;
}

export interface Note {
  readonly text: string;
  /** Names the handle that it was kept through: it need not be told again. */
  readonly author: string;
}

/** @returns messages that wait; undefined where there is no such queue. Renews its lease. */
export async function lookAt(model: ChannelModel, name: string): Promise<number | undefined> {
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  try {
    const { messageCount } = await channel.checkQueue(name);
    await closeChannel(channel);
    return messageCount;
  } catch (error) {
    if (isReplyTo(error) && replyCodeOf(error) === replyCode.notFound) return undefined;
    throw toBrokerError(error, `looking for queue ${name}`);
  }
}

/** Deletes it, unless somebody consumes it. */
export async function deleteUnused(model: ChannelModel, name: string): Promise<void> {
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  await channel.deleteQueue(name, { ifUnused: true });
  await closeChannel(channel);
}

/**
 * Rejects where the queue did not get all of its head; then it is deleted again, as far as that is possible.
 * One that dies half made is found broken by whoever comes next.
 */
export async function giveBirth(
  { session, control }: LaneChannels,
  publisher: ConfirmPublisher,
  shape: ContinuityShape,
  birth: Birth,
): Promise<void> {
  const { name } = shape;
  if (!publisher.ready) {
    throw new BrokerError('broker_unavailable', 'the broker refuses publishers');
  }
  await control.assertQueue(name, {
    durable: true,
    arguments: {
      'x-expires': shape.windowMs,
      'x-max-length': shape.length,
      'x-overflow': 'drop-head',
      'x-single-active-consumer': true,
    },
  });
  try {
    const put = (type: OwnMessageType, text?: string, id?: string) =>
      publishOwn(publisher, name, type, text, id);
    // One publishing channel: they get there in this order.
    await all(
      birth.lost === undefined
        ? [put(messageType.marker)]
        : [
            put(messageType.birth),
            ...(birth.note === undefined
              ? []
              : [put(messageType.note, birth.note.text, birth.note.author)]),
            put(messageType.lost, birth.lost),
            put(messageType.birthEnd),
          ],
    );
  } catch (error) {
    await deleteUnused(session.model, name).catch(() => undefined);
    throw error;
  }
}

/** Resolves when the queue has it; rejects with `BrokerError`. */
export async function publishOwn(
  publisher: ConfirmPublisher,
  queue: string,
  type: OwnMessageType,
  text = '',
  id?: string,
): Promise<void> {
  const { routed } = await publisher.publish('', queue, Buffer.from(text, 'utf8'), {
    type,
    mandatory: true,
    persistent: false,
    ...(id === undefined ? {} : { messageId: id }),
  });
  if (!routed) throw new BrokerError('broker_unavailable', `queue ${queue} is gone`);
}

/** As `Promise.all`, but waits for all also where one is rejected. */
async function all(calls: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(calls);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
