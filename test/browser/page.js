// The page of the browser tests: the built package without a bundler. `run(job)` is what the tests call.
import * as ferroformer from '../../dist/index.browser.js';
import { train } from '../support/trainingJob.ts';

globalThis.run = (job) => train(ferroformer, job);
document.documentElement.dataset.ready = '';
