/** Stock clients: pusher-js and Laravel Echo as an application makes them. */
import EchoModule from 'laravel-echo';
import PusherModule from 'pusher-js';
import type { SocketId } from '../../contracts/ids.ts';
import { type SigningKey, signChannel, signUser } from '../../contracts/pusher/signature.ts';

// CommonJS whose types promise a `default` that Node does not make.
const Pusher = PusherModule as unknown as typeof PusherModule.default;
const Echo = EchoModule;

export type PusherClient = InstanceType<typeof Pusher>;

export function openPusher(port: number, options: object = {}): PusherClient {
  return new Pusher('app-key', {
    cluster: '',
    wsHost: '127.0.0.1',
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws'],
    disableStats: true,
    ...options,
  });
}

export function openEcho(broadcaster: 'pusher' | 'reverb', port: number, options: object = {}) {
  return new Echo({
    broadcaster,
    Pusher,
    key: 'app-key',
    ...(broadcaster === 'pusher' ? { cluster: 'mt1' } : {}),
    wsHost: '127.0.0.1',
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws'],
    disableStats: true,
    authEndpoint: `http://127.0.0.1:${port}/broadcasting/auth`,
    ...options,
  } as unknown as ConstructorParameters<typeof Echo>[0]);
}

/** Signs as an application's own server would: options for pusher-js and Echo. */
export function signedBy(app: SigningKey, identity: { member?: object; user?: object } = {}) {
  const channelData = identity.member === undefined ? undefined : JSON.stringify(identity.member);
  const userData = JSON.stringify(identity.user ?? {});
  return {
    channelAuthorization: {
      customHandler(
        { socketId, channelName }: { socketId: string; channelName: string },
        callback: (error: Error | null, data: object | null) => void,
      ) {
        const isPresence = channelName.startsWith('presence-');
        const data = isPresence ? channelData : undefined;
        callback(null, {
          auth: signChannel(app, socketId as SocketId, channelName, data),
          ...(data === undefined ? {} : { channel_data: data }),
        });
      },
    },
    userAuthentication: {
      customHandler(
        { socketId }: { socketId: string },
        callback: (error: Error | null, data: object | null) => void,
      ) {
        callback(null, {
          auth: signUser(app, socketId as SocketId, userData),
          user_data: userData,
        });
      },
    },
  };
}

/** Resolves when the client has its socket id. */
export function connected(client: PusherClient): Promise<string> {
  if (client.connection.state === 'connected') return Promise.resolve(client.connection.socket_id);
  return new Promise((resolve) => {
    client.connection.bind('connected', () => resolve(client.connection.socket_id));
  });
}

interface Subscribable {
  readonly subscribed: boolean;
  bind(event: string, call: (data: unknown) => void): unknown;
}

/** Resolves with the first event of this name on the channel. */
export function first(channel: Pick<Subscribable, 'bind'>, event: string): Promise<unknown> {
  return new Promise((resolve) => channel.bind(event, resolve));
}

export function subscribed(channel: Subscribable): Promise<void> {
  if (channel.subscribed) return Promise.resolve();
  return new Promise((resolve, reject) => {
    channel.bind('pusher:subscription_succeeded', () => resolve());
    channel.bind('pusher:subscription_error', (error) =>
      reject(new Error(`subscription refused: ${JSON.stringify(error)}`)),
    );
  });
}
