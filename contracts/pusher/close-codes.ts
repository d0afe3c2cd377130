/**
 * Close codes (Pusher protocol 7, "Error codes"): the range tells a stock client what to do next. 4000–4099: never come back
 * unchanged. 4100–4199: come back after a second. 4200–4299: come back at once. Codes from 4300 on are for error frames only:
 * pusher-js takes a *close* with one of them as a final refusal.
 */

export interface CloseCode {
  readonly code: number;
  readonly reason: string;
}

export const closeCodes = {
  sslOnly: {
    code: 4000,
    reason: 'Application only accepts SSL connections, reconnect using wss://',
  },
  unknownApp: { code: 4001, reason: 'Application does not exist' },
  appDisabled: { code: 4003, reason: 'Application disabled' },
  connectionQuota: { code: 4004, reason: 'Application is over its connection quota' },
  pathNotFound: { code: 4005, reason: 'Path not found' },
  invalidVersion: { code: 4006, reason: 'Invalid version string format' },
  unsupportedProtocol: { code: 4007, reason: 'Unsupported protocol version, use 5 to 7' },
  noProtocol: { code: 4008, reason: 'No protocol version supplied' },
  unauthorized: { code: 4009, reason: 'Connection is unauthorized' },
  sessionTakenOver: { code: 4010, reason: 'Session taken over by a newer connection' },
  overCapacity: { code: 4100, reason: 'Over capacity' },
  reconnect: { code: 4200, reason: 'Reconnect' },
  pongTimeout: { code: 4201, reason: 'Pong reply not received' },
  inactive: { code: 4202, reason: 'Closed after inactivity' },
} as const satisfies Record<string, CloseCode>;
