// A compute thread of smoke.test.mjs: joins the memory and works until shutdown; a trap poisons the engine, as in ts/engine/inside.
import { parentPort, workerData } from 'node:worker_threads';
import { createKernels } from '../../ts/wasm/kernels.js';

const { module, memory, tid } = workerData;
const kernels = createKernels();
kernels.initSync({ module, memory, thread_stack_size: 1 << 20 });
parentPort.postMessage({ ready: true });
try {
  kernels.thread_main(tid);
  parentPort.postMessage({ ended: 'shutdown' });
} catch (error) {
  kernels.poison(1);
  parentPort.postMessage({ ended: `${error.name}: ${error.message}` });
}
