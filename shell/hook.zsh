# roled's hook for zsh: eval "$(roled hook zsh)" in ~/.zshrc.
#
# A check compares three things: AWS_PROFILE and AWS_ACCESS_KEY_ID with what the last check left (`seen`), the stamp,
# which the daemon removes when there is something new, and the clock. It starts no process. Only when one of them
# differs is the daemon asked (`refresh`), over its socket and without a process as well. Checks are made before every
# prompt and every line. For a line that may change AWS_PROFILE half-way a DEBUG trap checks before each of its
# sublists; `a && b` is one sublist, so the trap has to read its text.
#
# What roled exports it remembers in `_roled_set`; a variable is roled's for as long as it has that value. What the user
# had when an explicit switch of AWS_PROFILE took over is in `_roled_kept`. A child shell learns what is roled's from the
# exported marker ROLED_LEASE=KEY:EXPIRY:REGION:PROFILE.
#
# All of it is written for a shell with any options and aliases set: hence the quoted commands, and `emulate` before
# anything longer. No parameter holds a path, which auto_name_dirs would show in the prompt.

if [[ -o interactive && -z "${_roled_clock-}" ]]; then
  'builtin' 'typeset' -gA +x _roled_set _roled_kept
  'builtin' 'typeset' -g +x _roled_seen=     # "PROFILE KEY" as the last check left them; empty brings on the next one
  'builtin' 'typeset' -g +x _roled_profile=  # whose credentials were asked for last
  'builtin' 'typeset' -g +x _roled_key=      # AWS_ACCESS_KEY_ID as the last check left it
  'builtin' 'typeset' -g +x _roled_stamp=    # a file whose absence means: ask again
  'builtin' 'typeset' -g +x _roled_since=0   # the last answer holds from `since` until `until`, by the clock named in `clock`
  'builtin' 'typeset' -g +x _roled_until=0
  'builtin' 'typeset' -g +x _roled_expires=0
  'builtin' 'typeset' -g +x _roled_pending=  # credentials are on their way: the next command waits for them
  'builtin' 'typeset' -g +x _roled_returned= # a key of the user's that is in only because roled has none
  'builtin' 'typeset' -g +x _roled_said=     # what the person was told last
  'builtin' 'typeset' -g +x _roled_attached= # the daemon counts this shell as a user of some profile
  'builtin' 'typeset' -g +x _roled_fresh=1   # no check has been made yet
  'builtin' 'typeset' -g +x _roled_line=     # the line that the DEBUG trap is armed for
  'builtin' 'typeset' -g +x _roled_clock=SECONDS _roled_socket=
  if 'builtin' 'zmodload' zsh/datetime 2>/dev/null; then
    _roled_clock=EPOCHSECONDS
    'builtin' 'zmodload' zsh/system 2>/dev/null && 'builtin' 'zmodload' zsh/net/socket 2>/dev/null && _roled_socket=1
  fi

  _roled_is_current() {
    [[ "${AWS_PROFILE-${AWS_DEFAULT_PROFILE-}} ${AWS_ACCESS_KEY_ID-}" == "$_roled_seen" ]] &&
      [[ -z "$_roled_stamp" || -e @RUNTIME@/stamps/"$_roled_stamp" ]] &&
      (( _roled_since <= _roled_clock && _roled_clock < _roled_until ))
  }

  # Before a prompt. The redirection silences xtrace.
  _roled_precmd() {
    if [[ -n "$_roled_line" ]]; then
      'builtin' 'setopt' local_options no_local_traps
      _roled_line=
      [[ "$('builtin' 'trap')" != *_roled_sublist*DEBUG* ]] || 'builtin' 'trap' - DEBUG
    fi
    { _roled_is_current && 'builtin' 'unset' _roled_asking } 2>/dev/null || _roled_quietly _roled_refresh 0
    'builtin' 'return' 0
  }

  # Before a line; $3 is its text with aliases expanded.
  _roled_preexec() {
    { _roled_is_ready } 2>/dev/null || _roled_quietly _roled_refresh 1
    { _roled_quietly _roled_concerns "$3" } 2>/dev/null || 'builtin' 'return' 0
    [[ -o debug_before_cmd && "$('builtin' 'trap')" != *DEBUG* ]] || 'builtin' 'return' 0
    'builtin' 'setopt' local_options no_local_traps
    _roled_line="$3"
    'builtin' 'trap' '_roled_sublist "$ZSH_DEBUG_CMD"' DEBUG
    'builtin' 'return' 0
  }

  _roled_sublist() {
    _roled_quietly _roled_before_sublist "$1"
    'builtin' 'return' 0
  }

  # Run the arguments with zsh's own options and untraced, for they handle secrets.
  _roled_quietly() {
    'builtin' 'emulate' '-L' 'zsh' '-o' 'no_xtrace' '-o' 'extended_glob'
    "$@"
  }

  # Whether TEXT may change AWS_PROFILE: it names it other than to read it, or runs what may do so.
  _roled_concerns() {
    'builtin' 'local' word text="${1//\$(AWS_(DEFAULT_|)PROFILE|\{AWS_(DEFAULT_|)PROFILE(\}|(:|)[-+?]))/}"
    [[ "$text" != *AWS_(DEFAULT_|)PROFILE* ]] || 'builtin' 'return' 0
    for word in "${(@z)text}"; do
      case "$word" in
        ('source'|'.'|'eval') 'builtin' 'return' 0 ;;
        (*) [[ "${functions[$word]-}" != *AWS_(DEFAULT_|)PROFILE* ]] || 'builtin' 'return' 0 ;;
      esac
    done
    'builtin' 'return' 1
  }

  # _roled_before_sublist TEXT: what cannot be decided for sure runs without roled's keys.
  _roled_before_sublist() {
    'builtin' 'local' literal="(#b)([A-Za-z0-9_.@/+:-]##)" operator='(&&|\|\||\||\|&|;|&|[(){}]|[[:space:]]#\n)'
    'builtin' 'local' -a words line callers match mbegin mend
    callers=("${(@)funcstack[4,-1]}") # without _roled_sublist, _roled_quietly and this one
    (( ! ${callers[(I)_roled_precmd]} )) || 'builtin' 'return' 0
    words=("${(@z)1}") line=("${(@z)_roled_line}")
    if ! _roled_concerns "$1"; then
      _roled_is_ready || _roled_refresh 1
    elif [[ -n "${AWS_ACCESS_KEY_ID-}" && -z "${_roled_set[AWS_ACCESS_KEY_ID]-}" ]]; then
      'builtin' 'return' 0 # the user's own keys
    elif (( ! ${words[(I)$~operator]} )) && _roled_traps_inside "${words[1]}"; then
      _roled_is_ready || _roled_refresh 1
    elif (( ! ${#callers} && ! ${line[(I)(&&|\|\||\||\|&)]} )) && _roled_only_assigns "${words[@]}"; then
      _roled_is_ready || _roled_refresh 1 # the next trap or prompt sees what it assigned
    elif [[ "${words[1]} ${words[2]}" == export\ AWS_PROFILE=${~literal} && "${words[3]}" == (|'&&') ]] &&
      ! _roled_concerns "${(j: :)words[4,-1]}"; then
      _roled_refresh 1 "${match[1]}" lasting
    elif (( ${#callers} || ${line[(I)(&&|\|\||\||\|&)]} )); then
      _roled_close # something may follow this without a trap in between
    elif _roled_is_prefixed "${words[@]}"; then
      _roled_refresh 1 "$REPLY"
    else
      _roled_close
    fi
  }

  _roled_is_ready() {
    [[ -z "$_roled_pending" ]] && _roled_is_current
  }

  _roled_traps_inside() {
    [[ "$1" == ('source'|'.'|'eval') || -n "${functions[$1]-}" ]]
  }

  _roled_only_assigns() {
    [[ "$1" != ('export'|'typeset'|'declare'|'local'|'readonly'|'unset'|'read'|'vared') ]] || 'builtin' 'return' 0
    while (( $# )); do
      [[ "$1" == [A-Za-z_][A-Za-z0-9_]#=* ]] || 'builtin' 'return' 1
      'builtin' 'shift'
    done
  }

  # Whether these words are one command that sees a literal AWS_PROFILE of its own, as REPLY.
  _roled_is_prefixed() {
    REPLY=
    [[ "$1" != 'env' ]] || 'builtin' 'shift'
    while [[ "${1-}" == [A-Za-z_][A-Za-z0-9_]#=[A-Za-z0-9_.@/+:-]# ]]; do
      [[ "$1" != AWS_PROFILE=?* ]] || REPLY="${1#*=}"
      'builtin' 'shift'
    done
    [[ -n "$REPLY" && -n "${1-}" && "${1-}" != *=* && "$*" != *[\(\)\`\;\&\|]* ]]
  }

  # Take roled's keys out until the next check. Without them every SDK resolves AWS_PROFILE itself, which gives the
  # right account whichever profile the commands will see.
  _roled_close() {
    _roled_withdraw
    _roled_key="${AWS_ACCESS_KEY_ID-}"
    _roled_seen=
  }

  # _roled_refresh WAIT [PROFILE [lasting]]: make the environment right; for PROFILE if the next command alone will see
  # that one, or is about to set it for good. With WAIT=1 a command is about to start.
  _roled_refresh() {
    'builtin' 'local' wait="$1" once="${2-}" lasting="${3-}" first="$_roled_fresh"
    'builtin' 'local' profile= switched= interrupted="${_roled_asking-}"
    'builtin' 'local' -i due=_roled_until now=_roled_clock hold=9999999999
    _roled_fresh=
    [[ -z "$first" ]] || _roled_inherit
    _roled_since=$now _roled_until=$(( now + 5 )) _roled_stamp= _roled_pending= # armed before anything can block
    _roled_find_profile
    [[ "$profile" == "$_roled_profile" ]] || switched=1
    _roled_profile="$profile"

    if _roled_sees_foreign_keys; then
      if [[ -z "$profile" || -z "$switched" || -n "$first" || "$AWS_ACCESS_KEY_ID" != "$_roled_key" ]]; then
        _roled_step_aside
        'builtin' 'return' 0
      fi
      _roled_tell "roled: your own AWS keys are set aside until AWS_PROFILE is unset"
    fi
    [[ -z "$switched" && -n "${AWS_ACCESS_KEY_ID-}" ]] || _roled_withdraw
    if [[ -z "$profile" ]]; then
      _roled_give_back
      [[ -z "$_roled_attached" && -n "${AWS_PROFILE-unset}" ]] || _roled_ask 0 # the daemon lets go of this shell
      _roled_attached= _roled_returned= _roled_until=$hold _roled_stamp= _roled_pending=
    else
      _roled_set_aside
      if [[ -n "$interrupted" ]]; then wait=0; elif [[ -n "$switched" && -z "$first" ]]; then wait=1; fi
      [[ -n "$switched" || -z "${_roled_set[AWS_ACCESS_KEY_ID]-}" || now -ge _roled_expires || now -ge due ]] || wait=0
      _roled_ask "$wait"
      [[ -z "$interrupted" ]] || _roled_pending=
    fi
    _roled_remember
  }

  # The profile that commands will see, as `profile`. A variable that is not exported does not count.
  _roled_find_profile() {
    if [[ -n "$once" ]]; then
      profile="$once"
    elif [[ "${(t)AWS_PROFILE}" == *export* ]]; then
      profile="$AWS_PROFILE"
    elif [[ "${(t)AWS_DEFAULT_PROFILE}" == *export* ]]; then
      profile="$AWS_DEFAULT_PROFILE"
    elif [[ -n "${AWS_PROFILE-}" ]]; then
      hold=0 # look again: an export does not change the value
      _roled_say $'roled: AWS_PROFILE is not exported, so commands do not see it\n       export AWS_PROFILE'
    fi
  }

  _roled_sees_foreign_keys() {
    [[ -n "${AWS_ACCESS_KEY_ID-}" && "$AWS_ACCESS_KEY_ID" != "${_roled_set[AWS_ACCESS_KEY_ID]-}" ]] &&
      [[ -z "$profile" || "$AWS_ACCESS_KEY_ID" != "$_roled_returned" ]]
  }

  # What the parent shell's roled left in the environment becomes this shell's.
  _roled_inherit() {
    'builtin' 'local' name
    'builtin' 'local' -a marker
    marker=("${(@s.:.)ROLED_LEASE-}")
    (( ${#marker} >= 4 )) || 'builtin' 'return' 0
    if [[ -n "${AWS_ACCESS_KEY_ID-}" && "$AWS_ACCESS_KEY_ID" != "${marker[1]}" ]]; then
      'builtin' 'unset' ROLED_LEASE
      'builtin' 'return' 0
    fi
    for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_CREDENTIAL_EXPIRATION ROLED_LEASE; do
      _roled_set[$name]="${(P)name-}"
    done
    for name in AWS_REGION AWS_DEFAULT_REGION; do
      [[ "${(P)name-}" != "${marker[3]}" ]] || _roled_set[$name]="${marker[3]}"
    done
    _roled_expires=0
    [[ "${marker[2]}" != [0-9](#c1,11) ]] || _roled_expires="${marker[2]}"
    [[ "$_roled_clock" != SECONDS ]] || _roled_expires=$(( SECONDS + _roled_expires - ${(%):-%D{%s}} ))
    _roled_profile="${(g::)${${(j.:.)marker[4,-1]}//\%/\\x}}"
    _roled_attached=1
  }

  # The user's own keys win: they were here before roled, or were exported by hand since.
  _roled_step_aside() {
    _roled_withdraw
    _roled_kept=()
    [[ -z "$profile" ]] || _roled_say $'roled: your own AWS keys are in this shell, so AWS_PROFILE has no effect\n       to use the profile: unset AWS_ACCESS_KEY_ID'
    _roled_until=$hold
    _roled_remember
  }

  _roled_ask() {
    'builtin' 'local' wait="$1" reply= last
    _roled_remember
    'builtin' 'typeset' -g +x _roled_asking=1 # stays if Ctrl-C ends this, and then nobody wants to wait for the next one
    _roled_converse || _roled_run_client
    'builtin' 'unset' _roled_asking
    now=_roled_clock
    last="${reply##*$'\n'}"
    if [[ "$last" == 'OK' ]]; then
      _roled_apply
    elif [[ "$last" == 'ERR '* ]]; then
      _roled_do_without "roled: ${${last#ERR }#* }"
    else
      _roled_do_without "roled: the daemon does not answer, so AWS_PROFILE=$profile has no credentials here"$'\n       see: roled logs'
    fi
  }

  # Ask over the socket, into `reply`. It fails where there is no daemon, and then the client starts one.
  _roled_converse() {
    'builtin' 'setopt' 'local_options' 'no_multibyte'
    'builtin' 'local' REPLY part noticed
    'builtin' 'local' -i fd
    'builtin' 'local' -F began deadline left
    'builtin' 'local' -a private
    private=(@RUNTIME@(N/Uf:go-rwx:)) # whoever else could write there could answer
    [[ -n "$_roled_socket" && -n "$private" ]] || 'builtin' 'return' 1
    'builtin' 'zsocket' @RUNTIME@/socket 2>/dev/null || 'builtin' 'return' 1
    fd=$REPLY began=EPOCHREALTIME
    deadline=$(( began + (wait ? 15 : 0.14) ))
    {
      _roled_request
      'builtin' 'print' -ru $fd -- "$REPLY" 2>/dev/null || 'builtin' 'return' 0
      while [[ "$reply" != *$'\n' || "${${reply%$'\n'}##*$'\n'}" != ('OK'|'ERR '*) ]]; do
        left=$(( deadline - EPOCHREALTIME ))
        if (( left <= 0 )); then
          reply=
          'builtin' 'break'
        fi
        (( left < 0.3 )) || left=0.3
        'builtin' 'sysread' -t $left -i $fd part
        case $? in
          (0) reply+="$part" ;;
          (4) _roled_notice ;;
          (*) reply=; 'builtin' 'break' ;; # half an answer is none
        esac
      done
    } always {
      'builtin' 'exec' {fd}>&-
      [[ -z "$noticed" ]] || 'builtin' 'print' -nu2 $'\r\e[K'
    }
    reply="${reply%$'\n'}"
  }

  _roled_notice() {
    [[ -z "$noticed" && -t 2 ]] && (( wait )) || 'builtin' 'return' 0
    noticed=1
    'builtin' 'print' -rnu2 -- "roled: asking AWS for ${profile//[[:cntrl:]]/?} ... (Ctrl-C to go on without)"
  }

  # The request line, as REPLY: what the daemon must know of this shell, each byte that is not plain as %XX.
  _roled_request() {
    'builtin' 'local' name value byte
    REPLY="lease v=1 shell=zsh pid=$$ wait=$wait"
    for name in TTY HOME PWD AWS_PROFILE AWS_DEFAULT_PROFILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_REGION \
      AWS_DEFAULT_REGION AWS_ENDPOINT_URL AWS_ENDPOINT_URL_STS AWS_IGNORE_CONFIGURED_ENDPOINT_URLS \
      AWS_STS_REGIONAL_ENDPOINTS AWS_CA_BUNDLE AWS_ACCESS_KEY_ID ROLED_LEASE; do
      value="${(P)name-}"
      if [[ "$name" == TTY ]]; then
        name=tty
      elif [[ "$name" == AWS_PROFILE && -n "$once" ]]; then
        value="$once"
      elif [[ "${(Pt)name}" != *export* ]]; then
        'builtin' 'continue'
      fi
      REPLY+=" $name="
      if [[ "$value" == [A-Za-z0-9_.:/@+,-]# ]]; then
        REPLY+="$value"
        'builtin' 'continue'
      fi
      for byte in "${(@s::)value}"; do
        [[ "$byte" == [A-Za-z0-9_.:/@+,-] ]] || byte="%${(l:2::0:)$(( [##16] #byte ))}"
        REPLY+="$byte"
      done
    done
  }

  _roled_run_client() {
    [[ -x @PYTHON@ ]] || 'builtin' 'return' 0
    reply="$(
      [[ -z "$once" ]] || 'builtin' 'export' AWS_PROFILE="$once"
      'builtin' 'exec' @PYTHON@ -I -S @CLIENT@ @RUNTIME@ zsh "$$" "$TTY" "$wait"
    )"
  }

  # The daemon's lines are data: names from a list, values never evaluated.
  _roled_apply() {
    'builtin' 'local' line word value name told= changed=
    for line in "${(@f)reply}"; do
      word="${line%% *}" value="${line#* }" name="${${line#* }%% *}"
      case "$word" in
        ('set'|'unset')
          changed=1
          case "$name" in
            (AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|AWS_CREDENTIAL_EXPIRATION|AWS_REGION|AWS_DEFAULT_REGION|ROLED_LEASE)
              if [[ "$word" == 'unset' ]]; then
                _roled_unset "$name"
              else
                _roled_set[$name]="${value#* }"
                'builtin' 'typeset' -gx "$name=${value#* }"
              fi
              ;;
          esac
          ;;
        ('until') [[ "$value" != [0-9](#c1,9) ]] || _roled_until=$(( now + 10#$value )) ;;
        ('expires') [[ "$value" != [0-9](#c1,9) ]] || _roled_expires=$(( now + 10#$value )) ;;
        ('stamp') [[ "$value" != [A-Za-z0-9_-]## ]] || _roled_stamp="$value" ;;
        ('say') told+=${told:+$'\n'}"$value" ;;
      esac
    done
    _roled_attached=1
    if [[ -z "${_roled_set[AWS_ACCESS_KEY_ID]-}" ]]; then
      if [[ -z "$changed$told" ]] && (( _roled_until <= now + 5 )); then _roled_pending=1; else _roled_go_back; fi
    elif [[ -z "$told" ]]; then
      _roled_said=
    fi
    [[ -z "$told" ]] || _roled_say "$told"
  }

  # No answer: what has not expired stays good.
  _roled_do_without() {
    'builtin' 'local' held="${_roled_set[AWS_ACCESS_KEY_ID]-}"
    [[ -n "$profile" ]] || 'builtin' 'return' 0
    [[ -z "$held" ]] || (( now >= _roled_expires )) || 'builtin' 'return' 0
    _roled_withdraw
    if [[ -z "$held" && "$wait" == 0 ]]; then
      _roled_pending=1 # a daemon that is just starting; the next command says so if it does not
    else
      _roled_go_back
      _roled_say "$1"
    fi
  }

  # Take out what is roled's, and leave what the user has changed since.
  _roled_withdraw() {
    'builtin' 'local' name
    for name in "${(@k)_roled_set}"; do
      _roled_unset "$name"
    done
  }

  _roled_unset() {
    [[ -z "${_roled_set[$1]-}" || "${(P)1-}" != "${_roled_set[$1]}" ]] || 'builtin' 'unset' "$1"
    'builtin' 'unset' "_roled_set[$1]"
  }

  # Keep the user's own keys, if there are any, and take them out.
  _roled_set_aside() {
    'builtin' 'local' name
    [[ -z "${_roled_set[AWS_ACCESS_KEY_ID]-}" ]] || 'builtin' 'return' 0
    for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_CREDENTIAL_EXPIRATION; do
      (( ${(P)+name} )) || 'builtin' 'continue'
      _roled_kept[$name]="${(P)name}"
      'builtin' 'unset' "$name"
    done
  }

  _roled_give_back() {
    'builtin' 'local' name
    for name in "${(@k)_roled_kept}"; do
      (( ${(P)+name} )) || 'builtin' 'typeset' -gx "$name=${_roled_kept[$name]}"
    done
    _roled_kept=() _roled_returned=
  }

  # The profile cannot be had: the user's own keys are back, and go aside again as soon as it can.
  _roled_go_back() {
    _roled_withdraw
    _roled_give_back
    _roled_returned="${AWS_ACCESS_KEY_ID-}"
  }

  _roled_remember() {
    _roled_key="${AWS_ACCESS_KEY_ID-}"
    if [[ -z "$once" ]]; then
      _roled_seen="${AWS_PROFILE-${AWS_DEFAULT_PROFILE-}} $_roled_key"
    else
      _roled_seen="${lasting:+$once $_roled_key}"
    fi
  }

  # Tell the person, unless it is what they were told last.
  _roled_say() {
    [[ "$1" == "$_roled_said" ]] || _roled_tell "$1"
    _roled_said="$1"
  }

  _roled_tell() {
    'builtin' 'print' -ru2 -- "${1//[^[:print:]$'\n']/?}"
  }

  'builtin' 'typeset' -ga precmd_functions preexec_functions
  precmd_functions+=(_roled_precmd)
  preexec_functions+=(_roled_preexec)
fi
