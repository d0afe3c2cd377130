/** A publication as its receiver sees it. */
import type { Publication } from '../../contracts/publication.ts';
import type { Delivery } from '../port.ts';

/** The body is shared, not copied: it is never changed once it is published. */
export function deliveryOf(
  publication: Publication,
  tag: number,
  epoch: number,
  redelivered: boolean,
): Delivery {
  const { key, channel, id, body, except, traceparent } = publication;
  const revokes = body.length === 0 ? publication.revokes : undefined;
  const delivery: Delivery = { tag, epoch, key, channel, id, body, redelivered };
  // Most publications have none of these; spreading them in each time was half of the cost of a delivery.
  if (except === undefined && revokes === undefined && traceparent === undefined) return delivery;
  return {
    ...delivery,
    ...(except === undefined ? {} : { except }),
    ...(revokes === undefined ? {} : { revokes }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
