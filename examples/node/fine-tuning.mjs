// From text to tasks: a GPT is pre-trained on sentences, log P(w_i | w_1 … w_{i−1}); then the same sentences are asked two questions, log P(w_i | w_1 … w_{i−1}, task), where the task
// is learned tokens in front; a third question is learned by a LoRA adapter, which leaves the model as it is.
// node examples/node/fine-tuning.mjs [STEPS]        (inside this repository: after `npm run build`)
import {
  CharTokenizer,
  Engine,
  evaluateTexts,
  GPT,
  SftDataset,
  splitExamples,
  Template,
  TextDataset,
  Trainer,
  taskTokens,
} from 'ferroformer';

const steps = Number(process.argv[2] ?? 400);
const lists = {
  colour: ['red', 'blue', 'green', 'white', 'black'],
  thing: ['ship', 'whale', 'boat', 'gull', 'crab', 'seal'],
  verb: ['sails', 'swims', 'drifts', 'rests'],
  place: ['sea', 'reef', 'bay', 'rock', 'shore', 'isle'],
};
const facts = lists.colour.flatMap((colour) =>
  lists.thing.flatMap((thing) => lists.verb.flatMap((verb) => lists.place.map((place) => ({ colour, thing, verb, place })))),
);
const sentence = ({ colour, thing, verb, place }) => `the ${colour} ${thing} ${verb} by the ${place}.`;
const ask = (task) => (row) => ({ task, prompt: `${sentence(row.fields)} `, completion: row.get(task) });

// No sentence that is asked about at the end was asked about before.
const { train, validation } = splitExamples(facts, { evalFraction: 0.2, seed: 1 });
const text = train.map((row) => `${sentence(row.fields)}\n`).join('');
const engine = await Engine.start({ threads: 1 });
const size = { nLayer: 2, nHead: 4, nEmbd: 64, blockSize: 64 };
const model = await GPT.create(engine, { ...size, tokenizer: CharTokenizer.fromText(text), seed: 1 });
const common = { evalDataset: null, batchSize: 16 };
await new Trainer(model, { ...common, dataset: TextDataset.fromText(text, model.tokenizer), maxSteps: steps, learningRate: 3e-3 }).train();
console.log(`pre-trained: ${JSON.stringify((await model.generate('\nthe ', { maxNewTokens: 40, seed: 1, stopStrings: ['\n'] })).text)}`);

const tasks = { thing: taskTokens('thing', 2), place: taskTokens('place', 2) };
await model.addTokens([...Object.values(tasks).flat(), '<|end|>'], { eosToken: '<|end|>' });
const { tokenizer } = model;

/** How many of the sentences that were kept back are answered right. */
async function right(task, template) {
  const rows = validation.map(ask(task));
  const examples = rows.map((row) => ({ prompt: template.promptIds(row, tokenizer), references: row.completion }));
  return (await evaluateTexts(model, examples, { metrics: ['exact_match'], generation: { maxNewTokens: 8 } })).scores.exactMatch;
}
async function tell(when, names, template) {
  for (const task of names) console.log(`${when}: ${task} right ${(await right(task, template)).toFixed(3)}`);
}

const byTask = new Template('plain', { taskTokens: tasks });
await tell('before fine-tuning', ['thing', 'place'], byTask);
const asked = Object.keys(tasks).flatMap((task) => train.map(ask(task)));
const questions = new SftDataset(asked, { tokenizer, blockSize: size.blockSize, template: byTask });
await new Trainer(model, { ...common, dataset: questions, maxSteps: steps, learningRate: 3e-3 }).train();
await tell('after fine-tuning', ['thing', 'place'], byTask);

const alone = new Template('plain');
const adapter = await model.addAdapter({ rank: 8, alpha: 16, targetModules: 'all-linear' });
const colours = new SftDataset(train.map(ask('colour')), { tokenizer, blockSize: size.blockSize, template: alone });
await new Trainer(model, { ...common, dataset: colours, maxSteps: steps, learningRate: 1e-2 }).train();
await tell(`with an adapter of ${adapter.size} numbers`, ['colour'], alone);
model.setAdapter(null);
await tell('without it', ['colour'], alone);
await tell('without it', ['thing', 'place'], byTask);
await engine.close();
