/** `warren dead list` and `warren dead show`: they move nothing. */
import { formatProblems } from '../config/problems.ts';
import { explainEvent } from '../router/explain.ts';
import { explanationText } from '../router/explanation-text.ts';
import { loadForCommand } from './check.ts';
import {
  behindText,
  type DeadRun,
  deadExit,
  findLetter,
  noSuchLetter,
  walkLetters,
} from './dead-run.ts';
import {
  countsText,
  type DeadLetterLine,
  letterLine,
  letterText,
  lineJson,
  listText,
} from './dead-text.ts';

export async function list(run: DeadRun): Promise<number> {
  const { args, io, filter } = run;
  const found: DeadLetterLine[] = [];
  const counts = new Map<string, number>();
  const tally = await walkLetters(run, (letter) => {
    if (!filter.matches(letter)) return 'keep';
    found.push(letterLine(letter));
    counts.set(letter.code, (counts.get(letter.code) ?? 0) + 1);
    return 'keep';
  });
  if (args.json) {
    const reasons = Object.fromEntries(counts);
    const { total, visited } = tally;
    const shown = { queue: args.queue, total, visited, reasons, letters: found.map(lineJson) };
    io.stdout(`${JSON.stringify(shown, null, 2)}\n`);
  } else {
    if (found.length > 0) io.stdout(`${listText(found, io.now())}\n`);
    io.stdout(countsText(counts));
    io.stderr(behindText(tally, run));
  }
  return io.interrupted.aborted ? deadExit.interrupted : deadExit.done;
}

export async function show(run: DeadRun): Promise<number> {
  const { args, io } = run;
  const letter = await findLetter(run);
  if (letter === undefined) return noSuchLetter(run);
  const { result } = loadForCommand(args.config, args.environment, io);
  const explanation =
    result.ok && args.queue === 'events' ? explainEvent(letter.event, result.config) : undefined;
  if (args.json) {
    const { event } = letter;
    const { body, headers, exchange, type, contentType } = event;
    const text = body.toString('utf8');
    const isText = Buffer.from(text, 'utf8').equals(body);
    const content = isText ? { body: text } : { bodyBase64: body.toString('base64') };
    const shown = {
      ...lineJson(letterLine(letter)),
      exchange,
      type,
      contentType,
      headers,
      ...content,
    };
    io.stdout(`${JSON.stringify({ ...shown, explanation }, null, 2)}\n`);
    return deadExit.done;
  }
  io.stdout(letterText(letter, io.now()));
  if (explanation !== undefined) {
    io.stdout(`\nReplayed now, by ${args.config}:\n\n${explanationText(explanation)}`);
  } else if (!result.ok && args.queue === 'events') {
    io.stderr(`\nwhat would become of it now is not told:\n${formatProblems(result.problems)}\n`);
  }
  return deadExit.done;
}
