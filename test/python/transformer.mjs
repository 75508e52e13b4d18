// The library's side of test_transformer_modules.py, on the built package: a TransformerModule that PyTorch's weights go into and that gives its own.
//   node transformer.mjs FOLDER     reads options.json { options, src, tgt, keep } and theirs.safetensors; writes again.safetensors (the same weights, from the
//                                   module) and ours.safetensors (fresh ones); prints what both compute
import { readFile, writeFile } from 'node:fs/promises';
import { Engine, loadSafetensors, moduleToSafetensors, TransformerModule } from '../../dist/index.node.js';

const [folder] = process.argv.slice(2);
const { options, src, tgt, keep } = JSON.parse(await readFile(`${folder}/options.json`, 'utf8'));
const tensor = (rows, Kind) => {
  const shape = [rows.length, rows[0].length, ...(Array.isArray(rows[0][0]) ? [rows[0][0].length] : [])];
  return { data: Kind.from(rows.flat(2)), shape };
};
const batch = { src: tensor(src, Float32Array), tgt: tensor(tgt, Float32Array), keep: tensor(keep, Int32Array) };
const engine = await Engine.start({ threads: 1, simd: 'portable' });
try {
  const outputs = {};
  for (const name of ['again', 'ours']) {
    const model = await engine.bind(new TransformerModule(options), { seed: 7 });
    if (name === 'again') await loadSafetensors(model, await readFile(`${folder}/theirs.safetensors`), 'theirs.safetensors');
    const forward = ({ src, tgt, keep }) => ({
      y: model.module.forward(src, tgt, { srcKeyMask: keep, memoryKeyMask: keep, causal: true }),
    });
    outputs[name] = Array.from((await model.evaluate('forward', forward, batch)).y.data);
    await writeFile(`${folder}/${name}.safetensors`, await moduleToSafetensors(model));
  }
  console.log(JSON.stringify(outputs));
} finally {
  await engine.close();
}
