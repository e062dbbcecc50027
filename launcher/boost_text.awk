# SPDX-License-Identifier: Apache-2.0
# boost_text: the text that quickstart trains on, from the paths of the Boost headers on standard input, sorted, relative to
# boost/. A library is a top folder. Every tenth one is held out as a whole for validation; no library gives more than
# `per_library` bytes, because one of them (asio) would fill the text alone. A file loses its leading comments: they are
# the same licence 10,000 times over. Writes train.txt and validation.txt into the folder that the environment names `work`.
BEGIN {
  train_bytes = 4000000
  validation_bytes = 400000
  per_library = 250000
  train = ENVIRON["work"] "/train.txt"  # not -v, which would read escapes in a path
  validation = ENVIRON["work"] "/validation.txt"
}

{
  split($0, parts, "/")
  if (parts[1] != library) {
    library = parts[1]
    taken = 0
    held_out = ++libraries % 10 == 0
  }
  if (taken >= per_library || (held_out ? in_validation >= validation_bytes : in_train >= train_bytes)) next
  if (!taken) list[held_out] = list[held_out] " " library
  bytes = copy($0, held_out ? validation : train)
  taken += bytes
  if (held_out) in_validation += bytes; else in_train += bytes
}

END {
  printf "%.1f MB of Boost headers from %d libraries; held out for validation: %.1f MB from%s\n", \
    in_train / 1e6, split(list[0], parts, " "), in_validation / 1e6, list[1]
}

# Copies a file without the comments before its first line of code (an include guard does not count) and returns the bytes.
function copy(path, out,   line, leading, comment, bytes) {
  leading = 1
  while ((getline line < path) > 0) {
    sub(/\r$/, "", line)
    if (leading) {
      if (comment) { if (line ~ /\*\//) comment = 0; continue }
      if (line ~ /^[ \t]*\/\*/) { comment = line !~ /\*\//; continue }
      if (line ~ /^[ \t]*(\/\/.*)?$/) continue
      if (line !~ /^[ \t]*#[ \t]*(ifndef|define|pragma)/) leading = 0
    }
    print line > out
    bytes += length(line) + 1
  }
  close(path)
  return bytes
}
