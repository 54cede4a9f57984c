/** From `-v`, `--mount`, `--tmpfs` and an image's VOLUME to resolved mounts. Docker's words. */
import { statSync } from 'node:fs';
import { normalize } from 'node:path/posix';
import { invalid } from '../../base/errors.ts';
import { shown as beginning } from '../../base/shown.ts';
import type { Container, ContainerConfig, HostConfig, MountPoint, MountRequest } from '../../model/container.ts';

/** A mount whose volume may not exist yet. */
export interface WantedMount {
  readonly point: Omit<MountPoint, 'source'> & { readonly source: string | null };
  /** Labels for the volume, if it is made for this. */
  readonly labels: Readonly<Record<string, string>>;
  /** `null`: no name was given, one is made up. */
  readonly volume: string | null;
}

/** @param config merged with the image's @throws invalid */
export function wantedMounts(config: ContainerConfig, hostConfig: HostConfig): WantedMount[] {
  const wanted = [...hostConfig.Binds.map(parseBind), ...hostConfig.Mounts.map(parseMount)];
  const taken = new Set<string>();
  for (const { point } of wanted) {
    if (taken.has(point.destination)) throw invalid(`Duplicate mount point: ${point.destination}`);
    taken.add(point.destination);
  }
  for (const [target, options] of Object.entries(hostConfig.Tmpfs)) {
    const destination = cleanTarget(target, `invalid mount config for type "tmpfs"`);
    checkTmpfs(options);
    if (taken.has(destination)) throw invalid(`Duplicate mount point: ${destination}`);
    taken.add(destination);
  }
  for (const target of Object.keys(config.Volumes ?? {})) {
    const destination = cleanTarget(target, 'invalid mount config for type "volume"');
    // A mount that was asked for stands where the image wanted an anonymous volume.
    if (!taken.has(destination)) wanted.push(volumeMount({ destination, name: null, readOnly: false, mode: '', copy: true }));
    taken.add(destination);
  }
  return wanted;
}

interface VolumeMount {
  readonly destination: string;
  readonly name: string | null;
  readonly readOnly: boolean;
  readonly mode: string;
  readonly copy: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

const volumeMount = ({ destination, name, readOnly, mode, copy, labels = {} }: VolumeMount): WantedMount => ({
  point: { type: 'volume', source: null, destination, readOnly, mode, propagation: '', copy },
  labels,
  volume: name,
});

/** `[SOURCE:]TARGET[:MODES]` @throws invalid */
function parseBind(text: string): WantedMount {
  const spec = `invalid volume specification: '${shown(text)}'`;
  const parts = text.split(':');
  const [first = '', second, modes = '', ...more] = parts;
  if (text.includes('\0') || more.length > 0 || first === '' || second === '') throw invalid(spec);
  if (second === undefined) {
    return volumeMount({ destination: cleanTarget(first, spec), name: null, readOnly: false, mode: '', copy: true });
  }
  const mode = parseModes(modes, spec);
  const destination = cleanTarget(second, spec);
  const { readOnly } = mode;
  if (first.startsWith('/'))
    return bindMount({ source: normalize(first), destination, readOnly, mode: modes, propagation: mode.propagation });
  if (mode.propagation !== '') throw invalid(`${spec}: invalid mode: ${modes}`);
  return volumeMount({ destination, name: checkVolumeName(first), readOnly, mode: modes === '' ? 'z' : modes, copy: mode.copy });
}

interface BindMount {
  readonly source: string;
  readonly destination: string;
  readonly readOnly: boolean;
  readonly mode: string;
  readonly propagation: string;
}

const bindMount = ({ source, destination, readOnly, mode, propagation }: BindMount): WantedMount => ({
  point: { type: 'bind', source, destination, readOnly, mode, propagation: propagation || 'rprivate', copy: false },
  labels: {},
  volume: null,
});

const PROPAGATIONS: readonly string[] = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];
/** Words without a meaning here: SELinux labels, and what macOS did. */
const IGNORED: readonly string[] = ['z', 'Z', 'consistent', 'cached', 'delegated'];

function parseModes(
  text: string,
  spec: string,
): { readonly readOnly: boolean; readonly propagation: string; readonly copy: boolean } {
  let [readOnly, propagation, copy] = [false, '', true];
  const seen = new Set<string>();
  for (const word of text === '' ? [] : text.split(',')) {
    const kind = word === 'ro' || word === 'rw' ? 'access' : PROPAGATIONS.includes(word) ? 'propagation' : word;
    if (seen.has(kind)) throw invalid(`${spec}: invalid mode: ${shown(text)}`);
    seen.add(kind);
    if (kind === 'access') readOnly = word === 'ro';
    else if (kind === 'propagation') propagation = word;
    else if (word === 'nocopy') copy = false;
    else if (!IGNORED.includes(word)) throw invalid(`${spec}: invalid mode: ${shown(text)}`);
  }
  return { readOnly, propagation, copy };
}

/** @throws invalid */
function parseMount(mount: MountRequest): WantedMount {
  const about = `invalid mount config for type "${mount.Type}"`;
  if (mount.Target === '') throw invalid(`${about}: field Target must not be empty`);
  const destination = cleanTarget(mount.Target, about);
  const readOnly = mount.ReadOnly ?? false;
  const source = mount.Source ?? '';
  switch (mount.Type) {
    case 'bind': {
      if (source === '') throw invalid(`${about}: field Source must not be empty`);
      if (!source.startsWith('/')) throw invalid(`${about}: invalid mount path: '${shown(source)}' mount path must be absolute`);
      if (mount.BindOptions?.CreateMountpoint !== true && statSync(source, { throwIfNoEntry: false }) === undefined) {
        throw invalid(`${about}: bind source path does not exist: ${shown(source)}`);
      }
      const propagation = mount.BindOptions?.Propagation ?? '';
      if (propagation !== '' && !PROPAGATIONS.includes(propagation))
        throw invalid(`${about}: invalid propagation: ${shown(propagation)}`);
      return bindMount({ source: normalize(source), destination, readOnly, mode: '', propagation });
    }
    case 'volume': {
      const { NoCopy = false, Labels } = mount.VolumeOptions ?? {};
      const name = source === '' ? null : checkVolumeName(source);
      return volumeMount({ destination, name, readOnly, mode: 'z', copy: !NoCopy, ...(Labels ? { labels: Labels } : {}) });
    }
    case 'tmpfs': {
      if (source !== '') throw invalid(`${about}: field Source must not be specified`);
      const point = { type: 'tmpfs', source: '', destination, readOnly, mode: '', propagation: '', copy: false } as const;
      return { point, labels: {}, volume: null };
    }
    default:
      mount.Type satisfies never;
      throw invalid(`mount type unknown: "${shown(String(mount.Type))}"`);
  }
}

function cleanTarget(target: string, about: string): string {
  if (!target.startsWith('/') || target.includes('\0')) {
    throw invalid(`${about}: invalid mount path: '${shown(target)}' mount path must be absolute`);
  }
  const clean = normalize(target).replace(/\/$/, '');
  if (clean === '') throw invalid(`${about}: invalid specification: destination can't be '/'`);
  return clean;
}

function checkTmpfs(options: string): void {
  for (const word of options.split(',').filter(Boolean)) {
    if (!/^[a-z_]+(=[0-9a-zA-Z%]+)?$/.test(word)) throw invalid(`invalid tmpfs option ["${shown(word)}"]`);
  }
}

const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
/** Our own limit: NAME_MAX of the file systems that hold its directory. */
const VOLUME_NAME_MAX = 255;

/** @throws invalid */
export function checkVolumeName(name: string): string {
  if (name.length === 1) throw invalid('volume name is too short, names should be at least two alphanumeric characters');
  if (!VOLUME_NAME.test(name) || name.length > VOLUME_NAME_MAX) {
    throw invalid(
      `create ${shown(name)}: "${shown(name)}" includes invalid characters for a local volume name, only ` +
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    );
  }
  return name;
}

/** Whether the directory of a bind mount is made when it is missing: `-v` has always done so, `--mount` does when asked. */
export function makesSource({ hostConfig }: Container, { destination }: MountPoint): boolean {
  const asked = hostConfig.Mounts.find(({ Target }) => normalize(Target).replace(/\/$/, '') === destination);
  return asked === undefined || asked.BindOptions?.CreateMountpoint === true;
}

/** Most of it are paths. */
const shown = (text: string): string => beginning(text, 128);
