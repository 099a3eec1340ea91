package main

import "github.com/spf13/cobra"

// newJSONHelp is `piohost help json`.
func newJSONHelp() *cobra.Command {
	return &cobra.Command{Use: "json", Short: "What the commands print with --json", Long: jsonHelp}
}

const jsonHelp = `With --json a listing command prints one JSON document on stdout. Names are only ever added, lists are never null, sizes are
in bytes. A document that says what is wrong comes with an exit code other than 0, and the same words on stderr.

models
  host, running            the configured address, or that of --host; a host answers there
  models[]                 in the order of models.toml
    id, aliases[], path    path "": of a host elsewhere
    plugin                 "": the one that claims the checkpoint, or of a host elsewhere
    state, reason          "": no host has it; why it is not ready
    context                positions; 0: not known before it is loaded
    retry_at, waits_for    "" but for a model that waits for its next start: when that is, and what else may bring it
    quantize, numerics     "": not quantised; exact or fast; both "" of a host elsewhere
    kv_cache               "": what goes with numerics, or of a host elsewhere
    cores                  that its process may use now; 0: it has none, or its plugin takes what it likes
  kept_in                  the folder of quantised weights that plugins keep between loads; "": nothing is kept, or of a host elsewhere
  kept[]                   its files, the one used last first
    path
    model                  whose weights they are, by the checkpoint's path when they were made
    quantize, plugin       "": as the checkpoint's own codes are packed; who made them
    bytes                  on the disk
    used, in_use           RFC 3339; a process uses them now
    whole                  false: they are being made, or were left unfinished

devices
  cpu
    cores, usable          bytes that models may have; 0: the system does not tell
  gpus[]
    name, title, uuid, pci name is the one for [[device]]
    compute_capability, multiprocessors, driver
    memory, usable         of which models may have so much, all together
    refused                why it is not used; left out where it is
  no_gpu                   why there is none; "" where there are

ps
  host                     the configured address, or that of --host
  models[]
    id, state, reason
    size, share            on all devices; of the cpu's memory, promised, 0: none, or its plugin tells nothing of its size
    devices[]              where there is something of it
      name, used
    spill                  of a cache on other devices to the cpu's memory; left out where it may not
      used, budget
    context                positions; 0: not loaded
    running, waiting       requests
    tokens_per_second      of the last ten seconds
    on_demand, pinned
    until, used            when it is unloaded if nobody asks, "": not by itself, or somebody uses it; when a request last came or ended; RFC 3339

models scan
  models[]
    source                 hub, ollama or lmstudio
    name, path, bytes
    plugin, reason         "": none takes it, and why
    listed                 its id in models.toml, or ""
    entry                  lines to add to models.toml; "": there is nothing to add
  problems[]               what could not be read, a sentence each

plugin list, plugin lock
  plugins[]
    name, version, path, sha256
    locked                 a pio.lock lists it
  problems[]               files that are not used, a sentence each

plugin inspect
  plugin                   null without a plugin
    name, version, sdk_version, architectures[], majors[], capabilities[], kernels, numerics[], devices[], sha256
  file                     what the checkpoint that --model names holds; null without one, and of a folder with a plugin
    architecture, name     of a folder, what its config calls its architecture and model_type
    parts[]                paths
    parameters, bytes      parameters 0: a folder in codes does not tell
    layers, context
    tokens, splitter       how text is cut into words
    template
    roles[]                tensors of one name, of all layers together
      role, tensors, shape[], parameters, bytes, types[]
    refused[]              what is not read, and why
    codes                  of a folder, who has quantised it; "": nobody
  checkpoint               what the plugin says of it; null without --model, or if no plugin takes it
    path, fit, reason      fit is exact, family or no
    parameters, context, vocabulary
    modules[]              in the order of the forward pass
      id, weight_bytes, state_bytes_token, state_bytes_sequence, flops_token, active_bytes_token
    quantize, numerics     as asked, and what goes with it
    weights                of all modules
    kv_cache, position     as asked, "": what goes with numerics; what a position takes in the cache of all modules
  taken                    null with a plugin
    plugin, others[]       that takes the checkpoint, "": none; that would take it as well
    reason                 why none does, or could be asked

plugin test
  plugin, model, passed
  cases[]
    name, musts[]          musts are numbers of PROTOCOL.md
    result, seconds        pass, fail or skip
    lines[]                what went wrong or was remarked

config check
  file, ok
  memory
    bytes, from, taken     what there is for models, 0: not known; where that comes from; what they would take together
  models[]                 those that could be served
    id, plugin, version
    context, sequences     positions, and how many sequences of so many fit at once; 0: the plugin does not tell
    memory
      total, weights, cache, state, scratch, spill
  problems[]
    file, line, key, text  line 0: the file as a whole; key such as "model[0].path"

plan
  file, ok
  memory
    bytes, from, taken     what there is of the cpu's for models, 0: not known; where that comes from; what they would take together
  devices[]                besides the cpu
    name, bytes, taken     what all models together would take
    imagined               by --gpu
  models[]                 those that could be loaded
    id, plugin
    context, sequences     positions, and how many sequences of so many fit at once; 0: the plugin does not tell
    memory
      total, weights, cache, state, scratch, spill
    decode, decode_last    tokens per second of one sequence, at best: at its beginning, with the whole context before it; 0: not known
    prompt                 of a prompt, in pieces of step_tokens or 512
    cores                  on how many it computes while it works alone, for which the rates above are
    shared                 while all models work
      cores, with          of them, and how many others work
      decode, decode_last
    devices[]              the cpu first
      name, bytes, taken   what it may have, and would take
      buffer               of that, what weights are streamed through
      experts, experts_of  of a mixture, how many fit at once beside the layers, and of how many
      hits                 share of the experts a token needs that would be there
      through              rows of a pass from which on experts that it has no room for are brought through it; 0: they never are
      crossing             rows of a pass from which on a layer is quicker brought there than computed on the cpu; 0: none
      read, copy, flops    bytes/s, and operations/s; 0: not known
    modules[]              in the order of the forward pass
      id, device, streamed   where it would be computed; experts say cpu
    why[]                  a sentence for each device
    gives[]                what would bring more of it to devices besides the cpu
  problems[]
    file, line, key, text  as of config check

pull
  endpoint               "": the configured one
  repository, revision, commit
  path                   for models.toml
  bytes, missing, free   of the files; what of them is not here, 0 once it has come; of the disk, before, -1: not known
  files[]
    path, size, have, hash
  entry                  lines of models.toml; "": no plugin takes it, or it has not come

bench
  model, plugin, version, threads, context
  limits
    read, flops            the best of the run: bytes/s from memory, and operations/s in f32 (0: not known of this processor)
    reads[], peaks[]       each measurement
  peers[]
    name, program, model, build
  cells[]
    kind                   prefill or decode
    tokens, depth, streams
    rate, low, high        tokens per second, of all streams together: the middle of the samples, the lowest, the highest
    samples[]
    bytes_token            what a token must read; 0: the plugin does not tell
    flops_token
    limits[]               tokens per second that read or f32 allow, whichever is less, as they are before and behind each sample
    limit, share, bound    the middle of these; the middle of what samples reach of theirs; which of the two it is
    peers[]
      name, rate, samples[], ratio
    ratio, against         to the best peer, which it is; 0 and "": none has it`
