/** `warren explain --dead`: what would become of a letter of the dead-letter queue, as a dry run. */
import { formatProblems } from '../config/problems.ts';
import { explainEvent } from '../router/explain.ts';
import { explanationText } from '../router/explanation-text.ts';
import { loadForCommand } from './check.ts';
import { withDeadLetters } from './dead.ts';
import { deadFilter } from './dead-filter.ts';
import { type DeadArguments, type DeadIo, findLetter, noSuchLetter } from './dead-run.ts';
import { outcomeExits } from './explain.ts';

/** Exit codes: those of `explain`, 1 also where the letter cannot be had. */
export async function explainDead(args: DeadArguments, io: DeadIo): Promise<number> {
  const { result } = loadForCommand(args.config, args.environment, io);
  if (!result.ok) {
    io.stderr(`${formatProblems(result.problems)}\n`);
    return 1;
  }
  const filter = deadFilter(args.filter, io.now());
  if (!filter.ok) {
    io.stderr(`${filter.error}\n`);
    return 1;
  }
  return await withDeadLetters(args.environment, io, async (letters) => {
    const run = { args, io, letters, filter: filter.value };
    const letter = await findLetter(run);
    if (letter === undefined) {
      noSuchLetter(run);
      return 1;
    }
    const explanation = explainEvent(letter.event, result.config);
    io.stdout(
      args.json ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation),
    );
    return outcomeExits[explanation.outcome];
  });
}
