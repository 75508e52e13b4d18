// What `--simd` is on the command line where it is not given, on the platform at hand.
import { platform } from '#platform';
import { commandLineSimd } from './simd';

/** The choice, and one line for the user where a better one exists that he must make himself. */
export function defaultSimd(): ReturnType<typeof commandLineSimd> {
  return commandLineSimd(platform);
}
