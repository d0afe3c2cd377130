/** Use case: a client signs in as a user of its application. The socket stays open whatever the outcome. */
import { signinSuccess } from '../../contracts/pusher/frames.ts';
import { parseUserData } from '../../contracts/pusher/identity.ts';
import { verifyUser } from '../../contracts/pusher/signature.ts';
import type { Session } from './session.ts';
import type { Users } from './users.ts';

export interface SigninRequest {
  readonly auth: string;
  /** The exact text that was signed. */
  readonly userData: string;
}

/** Pusher protocol 7: connection is unauthorized; watchlist limit reached. Both as frames, never as closes. */
const unauthorized = 4009;
const watchlistTooLong = 4302;

export function signin(users: Users, session: Session, { auth, userData }: SigninRequest): void {
  const { connection } = session;
  const { config } = session.app;
  const refuse = (why: string) => connection.complain('signin_refused', why, unauthorized);
  if (!verifyUser([config], auth, connection.socketId, userData)) {
    refuse('The auth signature does not hold for this socket and user_data.');
    return;
  }
  const { presenceUserInfoBytes, watchlistUsers } = config.limits;
  const user = parseUserData(userData, presenceUserInfoBytes, watchlistUsers);
  if (!user.ok) {
    refuse(`${user.error}.`);
    return;
  }
  if (session.user !== undefined && session.user.userId !== user.value.userId) {
    refuse('This socket is signed in as another user: open a new one.');
    return;
  }
  connection.send(signinSuccess(userData));
  if (session.user !== undefined) return;
  session.user = user.value;
  session.isAuthorized = true;
  users.signedIn(session);
  session.continuity?.signedIn(user.value.userId);
  if (user.value.watchlistOverflow === 0) return;
  connection.complain(
    'watchlist_limit',
    `The watchlist may hold ${watchlistUsers} users; ${user.value.watchlistOverflow} were left out.`,
    watchlistTooLong,
  );
}
