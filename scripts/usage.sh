# shellcheck shell=bash
# Sourced by scripts: every one answers `-h` and `--help` with the comment at its top, and refuses what it does not take.

# Prints the comment at the top of the script.
show_usage() { sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0"; }

# Ends the script for wrong usage.
refuse() { # WHY
  printf '%s: %s; %s\n' "${0##*/}" "$1" "$(sed -n '2s/^# //p' "$0")" >&2
  exit 2
}

# Lets through LEAST to MOST arguments, of which none may be an option.
takes() { # LEAST MOST ARG...
  local least=$1 most=$2 word
  shift 2
  for word; do
    case $word in
      -h | --help) show_usage; exit ;;
      -*) refuse "there is no option $word" ;;
    esac
  done
  [ $# -ge "$least" ] || refuse "an argument is missing"
  [ $# -le "$most" ] || refuse "there is one argument too many: ${!#}"
}
