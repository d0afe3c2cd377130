/** Webhooks (Pusher protocol): what the server reports to an app's HTTP targets. */

export const webhookEventNames = [
  'channel_occupied',
  'channel_vacated',
  'member_added',
  'member_removed',
  'client_event',
  'cache_miss',
  'subscription_count',
] as const;

export type WebhookEventName = (typeof webhookEventNames)[number];

/** One event as it stands in the body's `events`. */
export type WebhookEvent =
  | {
      readonly name: 'channel_occupied' | 'channel_vacated' | 'cache_miss';
      readonly channel: string;
    }
  | {
      readonly name: 'member_added' | 'member_removed';
      readonly channel: string;
      readonly user_id: string;
    }
  | {
      readonly name: 'client_event';
      readonly channel: string;
      readonly event: string;
      /** Text; what was no text when it was sent is JSON. */
      readonly data: string;
      readonly socket_id: string;
      /** On presence channels. */
      readonly user_id?: string;
    }
  | {
      readonly name: 'subscription_count';
      readonly channel: string;
      readonly subscription_count: number;
    };

/** The body of one request. @param timeMs when it is sent, in ms since 1970 */
export function webhookBody(timeMs: number, events: readonly WebhookEvent[]): Buffer {
  return Buffer.from(JSON.stringify({ time_ms: timeMs, events }), 'utf8');
}
