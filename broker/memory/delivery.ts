/** A publication as its receiver sees it. */
import type { Publication } from '../../contracts/publication.ts';
import type { Delivery } from '../port.ts';

export function deliveryOf(
  publication: Publication,
  place: { readonly tag: number; readonly epoch: number; readonly redelivered: boolean },
): Delivery {
  const { key, channel, id, body, except, traceparent } = publication;
  return {
    ...place,
    key,
    channel,
    id,
    // Shared, not copied: a body is never changed once it is published.
    body,
    ...(except === undefined ? {} : { except }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
