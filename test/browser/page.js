// The page of the browser tests: the built package without a bundler. `run(job)` and `load(job)` are what the tests call.
import * as ferroformer from '../../dist/index.browser.js';
import { load } from '../support/loadingJob.ts';
import { hashParameters, train } from '../support/trainingJob.ts';

globalThis.run = (job) => train(ferroformer, job);
globalThis.load = (job) => load(ferroformer, job, hashParameters);
document.documentElement.dataset.ready = '';
