/** Templates that yield names: whatever the data holds, a value cannot pose as more than the place that the template gives it. */
import type { Refusal } from '../contracts/errors.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import { type Fields, fieldText, refusal } from './field.ts';
import type { Template } from './template.ts';

/** Characters of one segment. No dot: a value must not add a word to the name. */
const segmentPattern = /^[A-Za-z0-9_\-=@,;]+$/;

/**
 * The name for an event. A variable that is the whole template may yield any text; beside other text it must be one segment, else
 * the event is refused (`invalid_segment`), as it is by what `fieldText` refuses.
 *
 * @param name what the template yields, for people: `a channel name`
 */
export function renderSegments(
  fields: Fields,
  template: Template,
  name: string,
): Result<string, Refusal> {
  if (template.alone !== undefined) return fieldText(fields, template.alone);
  let text = '';
  for (const part of template.parts) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const value = fieldText(fields, part);
    if (!value.ok) return value;
    if (!segmentPattern.test(value.value)) {
      return fail(
        refusal(
          'invalid_segment',
          part,
          value.value === ''
            ? `is empty, so it cannot stand in ${name}`
            : `holds other characters than A-Z a-z 0-9 _ - = @ , ; so it cannot stand in ${name}`,
        ),
      );
    }
    text += value.value;
  }
  return ok(text);
}
