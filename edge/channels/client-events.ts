/** Use case: a client sends an event to the other subscribers of a channel, on every edge. */
import type { BrokerError } from '../../broker/errors.ts';
import type { ChannelPublisher } from '../../broker/port.ts';
import type { ChannelName } from '../../contracts/ids.ts';
import { memberText } from '../../contracts/json-member.ts';
import { createClientEvent } from '../../contracts/publication.ts';
import type { WebhookEvent } from '../../contracts/pusher/webhook.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Egress } from '../egress.ts';
import { RateWindow } from './rate-window.ts';
import type { Session } from './session.ts';

export interface ClientEventContext {
  readonly publisher: ChannelPublisher;
  readonly clock: Clock;
  readonly egress: Pick<Egress, 'config' | 'clientEvent'>;
  emit(app: AppConfig, event: WebhookEvent): void;
}

export interface ClientEventRequest {
  readonly event: string;
  readonly channel: string;
  readonly data: unknown;
  /** The whole frame, as it came. */
  readonly text: string;
}

/** Pusher protocol 7: client event rejected. A frame, never a close. */
const rejected = 4301;

export function clientEvent(
  context: ClientEventContext,
  session: Session,
  request: ClientEventRequest,
): void {
  const { connection } = session;
  const { config } = session.app;
  const reject = (why: string) => connection.complain('client_event_rejected', why, rejected);
  if (!config.clientEvents) {
    reject('Client events are off for this app: set clientEvents: true in warren.yaml.');
    return;
  }
  session.clientEvents ??= new RateWindow();
  const { clientEventsPerSecond, clientEventBytes, eventNameLength } = config.limits;
  if (!session.clientEvents.take(context.clock.monotonicMs(), clientEventsPerSecond)) {
    reject(
      `At most ${clientEventsPerSecond} client events a second are allowed; this one was dropped.`,
    );
    return;
  }
  // The map is keyed by parsed names; text that is none finds nothing.
  const subscription = session.subscriptions.get(request.channel as ChannelName);
  if (subscription?.state !== 'live') {
    reject('Client events need a subscription to their channel.');
    return;
  }
  const { channel, member } = subscription;
  if ((channel.kind !== 'private' && channel.kind !== 'presence') || channel.encrypted) {
    reject('Client events are for private and presence channels only, and not for encrypted ones.');
    return;
  }
  if (request.event.length > eventNameLength) {
    reject(`The event name may have ${eventNameLength} characters.`);
    return;
  }
  const data = JSON.stringify(request.data ?? null);
  // What counts is what was sent: text without the quotes that JSON puts around it.
  const text = typeof request.data === 'string' ? request.data : data;
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes > clientEventBytes) {
    reject(`The data has ${bytes} bytes, at most ${clientEventBytes} are allowed.`);
    return;
  }
  const { socketId } = connection;
  const publication = createClientEvent({
    appId: config.id,
    channel: channel.name,
    event: request.event,
    data,
    ...(member === undefined ? {} : { userId: member.userId }),
    except: socketId,
  });
  const { egress } = context;
  const toServices = egress.config.clientEvents
    ? {
        id: publication.id,
        channel,
        event: request.event,
        data: memberText(request.text, 'data') ?? 'null',
        timeMs: context.clock.now(),
        socketId,
        userId: member?.userId ?? session.user?.userId,
      }
    : undefined;
  context.publisher.publish(publication).then(
    () => {
      // Services hear what was accepted and nothing else: one that was not is the sender's to repeat.
      if (toServices !== undefined) egress.clientEvent(config, toServices);
      context.emit(config, {
        name: 'client_event',
        channel: channel.name,
        event: request.event,
        data: text,
        socket_id: socketId,
        ...(member === undefined ? {} : { user_id: member.userId }),
      });
    },
    (error: unknown) => reject(`The broker did not take the event (${codeOf(error)}).`),
  );
}

function codeOf(error: unknown): string {
  const code = (error as Partial<BrokerError> | null)?.code;
  return typeof code === 'string' ? code : 'internal_error';
}
