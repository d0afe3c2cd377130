/** Headers that a refused event carries in `router.events.dlq`, beside its own. */
export const deadLetterHeaders = {
  /** `<code>: <text>` */
  reason: 'x-warren-reason',
  code: 'x-warren-reason-code',
  /** Where it was published to. */
  exchange: 'x-warren-exchange',
  routingKey: 'x-warren-routing-key',
  /** ISO 8601. */
  at: 'x-warren-dead-at',
} as const;
