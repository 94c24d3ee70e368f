# shellcheck shell=bash
# shellcheck disable=SC2016 # texts for traps are evaluated later
# shellcheck disable=SC2030,SC2031 # AWS_PROFILE is changed in a subshell on purpose
# shellcheck disable=SC2128,SC2178 # PROMPT_COMMAND is a string up to bash 5.0
# roled's hook for bash 3.2 and later: eval "$(roled hook bash)" in ~/.bashrc.
#
# A check compares three things: AWS_PROFILE and AWS_ACCESS_KEY_ID with what the last check left (`seen`), the stamp,
# which the daemon removes when there is something new, and the clock. It starts no process. Only when one of them
# differs is the daemon asked (`refresh`). Checks are made before every prompt and, by a DEBUG trap, before every
# command. bash traps nothing inside functions and sourced files, so those that name AWS_PROFILE run without roled's
# keys. Nor does it tell of ( ) and $( ): a profile that is changed in there is seen too late.
#
# What roled exports it remembers in `_roled_set_NAME`; a variable is roled's for as long as it has that value. What the
# user had when an explicit switch of AWS_PROFILE took over is in `_roled_kept_NAME`. None of these is exported: a child
# shell learns what is roled's from the marker ROLED_LEASE=KEY:EXPIRY:REGION:PROFILE.
#
# All of it is written for a shell with any options and aliases set: hence `\builtin`, many quotes, and `test` where
# nocasematch would make two profiles equal.

if [[ $- == *i* && -z ${_roled_runtime-} ]]; then
  case $- in *a*) _roled_allexport=1 ;; *) _roled_allexport='' ;; esac
  \builtin set +a

  _roled_runtime=@RUNTIME@
  _roled_python=@PYTHON@
  _roled_client=@CLIENT@

  _roled_seen=''    # "PROFILE KEY" as the last check left them; empty brings on the next one
  _roled_profile='' # whose credentials were asked for last
  _roled_key=''     # AWS_ACCESS_KEY_ID as the last check left it
  _roled_stamp=/    # a file whose absence means: ask again
  _roled_since=0    # the last answer holds from `since` until `until`, by the clock that `clock` names
  _roled_until=0
  _roled_expires=0
  _roled_pending=''  # credentials are on their way: the next command waits for them
  _roled_returned='' # a key of the user's that is in only because roled has none
  _roled_said=''     # what the person was told last
  _roled_attached='' # the daemon counts this shell as a user of some profile
  _roled_fresh=1     # no check has been made yet
  _roled_armed=''
  _roled_harmless='' # functions of this line that do not name AWS_PROFILE
  _roled_ever=9999999999
  if ((BASH_VERSINFO[0] >= 5)); then _roled_clock=EPOCHSECONDS; else _roled_clock=SECONDS; fi

  _roled_is_current() {
    \builtin test "${AWS_PROFILE-${AWS_DEFAULT_PROFILE-}} ${AWS_ACCESS_KEY_ID-}" = "$_roled_seen" &&
      [[ -e $_roled_stamp ]] && ((_roled_since <= _roled_clock && _roled_clock < _roled_until))
  }

  # Whether the command runs none of the user's code in which bash would trap nothing.
  _roled_is_plain() {
    case ${BASH_COMMAND%%[ ;]*} in
      source | .) \builtin return 1 ;;
      _roled_*) \builtin return 0 ;;
    esac
    [[ ${_roled_harmless-} == *" ${BASH_COMMAND%%[ ;]*} "* ]] ||
      ! \builtin declare -F "${BASH_COMMAND%%[ ;]*}"
  }

  # Before a prompt. The redirection silences `set -x`, and `|| :` keeps `set -e` and ERR traps out.
  _roled_prompt() {
    \builtin local status="$?"
    { _roled_is_current && \builtin unset -v _roled_asking _roled_harmless; } 2>/dev/null || _roled_quietly _roled_refresh 0 || \builtin :
    \builtin return "$status"
  }

  # Before a command: the slow half of the DEBUG trap. $1 is $_, which has to stay what it was.
  _roled_command() {
    _roled_quietly _roled_before_command || \builtin :
    \builtin : "$1"
  }

  # Before a line: bash-preexec tells of it once, with the whole text.
  _roled_preexec() {
    { [[ -z $_roled_pending && $1 != *AWS_*PROFILE* ]] && _roled_is_current; } 2>/dev/null ||
      _roled_quietly _roled_before_line "$1" || \builtin :
  }

  # Run the arguments untraced, for they handle secrets, and without exporting every variable that they set.
  _roled_quietly() {
    {
      ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)) || \builtin local - # restored even after Ctrl-C
      \builtin local options="$-" IFS=$' \t\n'
      \builtin set +ax
    } 2>/dev/null
    "$@"
    {
      case $options in *a*) \builtin set -a ;; esac
      case $options in *x*) \builtin set -x ;; esac
    } 2>/dev/null
  }

  _roled_before_command() {
    \builtin local word='[A-Za-z0-9_.@/+:-]'
    \builtin local assignments="([A-Za-z_0-9]+=$word* )*"
    \builtin local prefixed="^(env )?${assignments}AWS_PROFILE=($word+) ${assignments}[^ =]+( |\$)"
    \builtin local assigned='^((export|declare|typeset|readonly|local) |AWS_[A-Z_]+=[^ ]*$)'
    if [[ -n ${COMP_LINE-}${READLINE_LINE-} ]] || _roled_is_of_prompt; then
      _roled_is_current || _roled_refresh 0 # completion and prompt run commands too, and nobody waits for them
    elif [[ $BASH_COMMAND != *AWS_PROFILE=* && $BASH_COMMAND != *AWS_DEFAULT_PROFILE=* ]] ||
      [[ $BASH_COMMAND =~ $assigned ]]; then
      if _roled_hides_switch; then
        _roled_close
      else
        { [[ -z $_roled_pending ]] && _roled_is_current; } || _roled_refresh 1
      fi
    elif [[ -n ${AWS_ACCESS_KEY_ID-} && -z ${_roled_set_AWS_ACCESS_KEY_ID-} ]]; then
      \builtin return 0 # the user's own keys
    elif [[ $BASH_COMMAND =~ $prefixed && $BASH_COMMAND != *[\(\`]* ]] && _roled_is_flat; then
      [[ $BASH_COMMAND =~ $prefixed ]]
      _roled_refresh 1 "${BASH_REMATCH[3]}"
    else
      _roled_close
    fi
  }

  # Whether the command stands in PROMPT_COMMAND, or in what that runs once; the DEBUG trap is run for both.
  _roled_is_of_prompt() {
    \builtin local IFS=';'
    \builtin local text=";${PROMPT_COMMAND[*]-};$_roled_arm;" limit=$'[\n;|&{}()]'
    text=${text//[ $'\t']/}
    [[ $text == *$limit"${BASH_COMMAND//[ $'\t']/}"$limit* ]]
  }

  # Whether the command is a function or a file that names AWS_PROFILE other than to read it. A file that cannot be
  # found from the text alone counts as one.
  _roled_hides_switch() {
    \builtin local name="${BASH_COMMAND%%[ ;]*}" text file
    case $name in
      source | .)
        file=${BASH_COMMAND#* } file=${file%% *}
        [[ ${file:0:2} != \~/ ]] || file=${HOME-}/${file:2}
        case $file in *[!A-Za-z0-9_./+@:-]*) \builtin return 0 ;; esac
        text=$(\command cat -- "$file" 2>/dev/null) || \builtin return 0
        ;;
      *)
        [[ ${_roled_harmless-} != *" $name "* ]] && \builtin declare -F "$name" >/dev/null || \builtin return 1
        text=$(\builtin declare -f "$name")
        ;;
    esac
    text=${text//\$AWS_PROFILE/}
    text=${text//\$\{AWS_PROFILE[\}:-]/}
    [[ $text != *AWS_PROFILE* && $text != *AWS_DEFAULT_PROFILE* ]] || \builtin return 0
    _roled_harmless="${_roled_harmless-} $name "
    \builtin return 1
  }

  # Whether the typed line holds this command and no ( ), before which bash would not let us put the keys back.
  _roled_is_flat() {
    \builtin local line
    line=$(HISTTIMEFORMAT='' \builtin history 1)
    [[ $line == *AWS_PROFILE=* && $line != *\(* ]]
  }

  _roled_before_line() {
    if [[ $1 == *AWS_PROFILE* || $1 == *AWS_DEFAULT_PROFILE* ]]; then _roled_close; else _roled_refresh 1; fi
  }

  # Take roled's keys out until the next check. Without them every SDK resolves AWS_PROFILE itself: where it cannot be
  # decided in time which profile a command will see, that gives the right account.
  _roled_close() {
    _roled_withdraw
    _roled_key="${AWS_ACCESS_KEY_ID-}"
    _roled_seen=''
  }

  # _roled_refresh WAIT [PROFILE]: make the environment right, for PROFILE if the next command alone will see that one.
  # With WAIT=1 a command is about to start.
  _roled_refresh() {
    \builtin local wait=$1 once="${2-}" first=$_roled_fresh due=$_roled_until now=$((_roled_clock)) hold=$_roled_ever
    \builtin local profile='' switched='' interrupted="${_roled_asking-}"
    _roled_fresh=''
    [[ -z $first ]] || _roled_inherit
    _roled_since=$now _roled_until=$((now + 5)) _roled_stamp=/ _roled_pending='' # armed before anything can block
    _roled_find_profile
    \builtin test "$profile" = "$_roled_profile" || switched=1
    _roled_profile="$profile"

    if _roled_sees_foreign_keys; then
      if [[ -z $profile || -z $switched || -n $first || $AWS_ACCESS_KEY_ID != "$_roled_key" ]]; then
        _roled_step_aside
        \builtin return 0
      fi
      _roled_tell "roled: your own AWS keys are set aside until AWS_PROFILE is unset"
    fi
    [[ -z $switched && -n ${AWS_ACCESS_KEY_ID-} ]] || _roled_withdraw
    if [[ -z $profile ]]; then
      _roled_give_back
      [[ -z $_roled_attached && ${AWS_PROFILE-unset} ]] || _roled_ask 0 # the daemon lets go of this shell
      _roled_attached='' _roled_returned='' _roled_until=$hold _roled_stamp=/ _roled_pending=''
    else
      _roled_set_aside
      if [[ -n $interrupted ]]; then wait=0; elif [[ -n $switched && -z $first ]]; then wait=1; fi
      [[ -n $switched || -z ${_roled_set_AWS_ACCESS_KEY_ID-} || now -ge _roled_expires || now -ge due ]] || wait=0
      _roled_ask "$wait"
      [[ -z $interrupted ]] || _roled_pending=''
    fi
    _roled_remember
  }

  # The profile that commands will see, as `profile`. A variable that is not exported does not count.
  _roled_find_profile() {
    if [[ -n $once ]]; then
      profile="$once"
    elif [[ -n ${AWS_PROFILE+set} ]] && _roled_is_exported AWS_PROFILE; then
      profile="$AWS_PROFILE"
    elif [[ -n ${AWS_DEFAULT_PROFILE+set} ]] && _roled_is_exported AWS_DEFAULT_PROFILE; then
      profile="$AWS_DEFAULT_PROFILE"
    elif [[ -n ${AWS_PROFILE-} ]]; then
      hold=0 # look again: an export does not change the value
      _roled_say "roled: AWS_PROFILE is not exported, so commands do not see it
       export AWS_PROFILE"
    fi
  }

  _roled_is_exported() {
    if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)); then
      \builtin eval "[[ \${$1@a} == *x* ]]"
    else
      [[ $(\builtin declare -p "$1") =~ ^declare\ -[A-Za-z]*x ]]
    fi
  }

  _roled_sees_foreign_keys() {
    [[ -n ${AWS_ACCESS_KEY_ID-} && $AWS_ACCESS_KEY_ID != "${_roled_set_AWS_ACCESS_KEY_ID-}" ]] &&
      [[ -z $profile || $AWS_ACCESS_KEY_ID != "$_roled_returned" ]]
  }

  # What the parent shell's roled left in the environment becomes this shell's.
  _roled_inherit() {
    \builtin local marker="${ROLED_LEASE-}" name region
    [[ $marker == *:*:*:* ]] || \builtin return 0
    if [[ -n ${AWS_ACCESS_KEY_ID-} && $AWS_ACCESS_KEY_ID != "${marker%%:*}" ]]; then
      \builtin unset -v ROLED_LEASE
      \builtin return 0
    fi
    for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_CREDENTIAL_EXPIRATION ROLED_LEASE; do
      [[ -z ${!name-} ]] || \builtin printf -v "_roled_set_$name" %s "${!name}"
    done
    marker=${marker#*:}
    _roled_expires=${marker%%:*} marker=${marker#*:}
    case $_roled_expires in '' | *[!0-9]* | ????????????*) _roled_expires=0 ;; esac
    ((BASH_VERSINFO[0] >= 5)) || _roled_expires=$((SECONDS + _roled_expires - $(\command date +%s)))
    region=${marker%%:*} marker=${marker#*:}
    for name in AWS_REGION AWS_DEFAULT_REGION; do
      [[ -z $region || ${!name-} != "$region" ]] || \builtin printf -v "_roled_set_$name" %s "$region"
    done
    \builtin printf -v _roled_profile %b "${marker//%/\\x}"
    _roled_attached=1
  }

  # The user's own keys win: they were here before roled, or were exported by hand since.
  _roled_step_aside() {
    \builtin local name
    _roled_withdraw
    for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_CREDENTIAL_EXPIRATION; do
      \builtin unset -v "_roled_kept_$name"
    done
    [[ -z $profile ]] || _roled_say "roled: your own AWS keys are in this shell, so AWS_PROFILE has no effect
       to use the profile: unset AWS_ACCESS_KEY_ID"
    _roled_until=$hold
    _roled_remember
  }

  _roled_ask() {
    \builtin local wait=$1 reply='' status=0
    _roled_remember
    _roled_asking=1 # stays if Ctrl-C ends this, and then nobody wants to wait for the next one
    if [[ -x $_roled_python ]]; then
      reply=$(
        [[ -z $once ]] || \builtin export AWS_PROFILE="$once"
        \builtin exec "$_roled_python" -I -S "$_roled_client" "$_roled_runtime" bash "$$" - "$wait"
      ) || status=$?
    fi
    \builtin unset -v _roled_asking
    now=$((_roled_clock))
    if [[ $status == 0 && ${reply##*$'\n'} == OK ]]; then
      _roled_apply
    elif [[ $status == 1 && ${reply##*$'\n'} == "ERR "* ]]; then
      reply=${reply##*$'\n'} reply=${reply#ERR }
      _roled_do_without "roled: ${reply#* }"
    else
      _roled_do_without "roled: the daemon does not answer, so AWS_PROFILE=$profile has no credentials here
       see: roled logs"
    fi
  }

  # The daemon's lines are data: names from a list, values never evaluated.
  _roled_apply() {
    \builtin local line word name value told='' changed=''
    while [[ -n $reply ]]; do
      line=${reply%%$'\n'*}
      reply=${reply:$((${#line} + 1))}
      word=${line%% *} value=${line#* }
      case $word in
        set | unset)
          changed=1 name=${value%% *} value=${value#* }
          case $name in
            AWS_ACCESS_KEY_ID | AWS_SECRET_ACCESS_KEY | AWS_SESSION_TOKEN | AWS_CREDENTIAL_EXPIRATION | \
              AWS_REGION | AWS_DEFAULT_REGION | ROLED_LEASE) "_roled_$word" "$name" "$value" ;;
          esac
          ;;
        until) [[ ! $value =~ ^[0-9]{1,9}$ ]] || _roled_until=$((now + 10#$value)) ;;
        expires) [[ ! $value =~ ^[0-9]{1,9}$ ]] || _roled_expires=$((now + 10#$value)) ;;
        stamp) [[ ! $value =~ ^[A-Za-z0-9_-]+$ ]] || _roled_stamp=$_roled_runtime/stamps/$value ;;
        say) told=$told${told:+$'\n'}$value ;;
      esac
    done
    _roled_attached=1
    if [[ -z ${_roled_set_AWS_ACCESS_KEY_ID-} ]]; then
      if [[ -z $changed$told ]] && ((_roled_until <= now + 5)); then _roled_pending=1; else _roled_go_back; fi
    elif [[ -z $told ]]; then
      _roled_said=''
    fi
    [[ -z $told ]] || _roled_say "$told"
  }

  # No answer: what has not expired stays good.
  _roled_do_without() {
    \builtin local held="${_roled_set_AWS_ACCESS_KEY_ID-}"
    if [[ -z $profile ]] || { [[ -n $held ]] && ((now < _roled_expires)); }; then
      \builtin return 0
    fi
    _roled_withdraw
    if [[ -z $held && $wait == 0 ]]; then
      _roled_pending=1 # a daemon that is just starting; the next command says so if it does not
    else
      _roled_go_back
      _roled_say "$1"
    fi
  }

  _roled_set() {
    \builtin printf -v "_roled_set_$1" %s "$2"
    \builtin export "$1=$2"
  }

  _roled_unset() {
    \builtin local ours="_roled_set_$1"
    [[ -z ${!ours-} || ${!1-} != "${!ours}" ]] || \builtin unset -v "$1"
    \builtin unset -v "$ours"
  }

  # Take out what is roled's, and leave what the user has changed since.
  _roled_withdraw() {
    \builtin local name
    for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_CREDENTIAL_EXPIRATION \
      AWS_REGION AWS_DEFAULT_REGION ROLED_LEASE; do
      _roled_unset "$name"
    done
  }

  # Keep the user's own keys, if there are any, and take them out.
  _roled_set_aside() {
    \builtin local name
    [[ -z ${_roled_set_AWS_ACCESS_KEY_ID-} ]] || \builtin return 0
    for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_CREDENTIAL_EXPIRATION; do
      [[ -n ${!name+set} ]] || \builtin continue
      \builtin printf -v "_roled_kept_$name" %s "${!name}"
      \builtin unset -v "$name"
    done
  }

  _roled_give_back() {
    \builtin local name kept
    for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_CREDENTIAL_EXPIRATION; do
      kept="_roled_kept_$name"
      [[ -z ${!kept+set} || -n ${!name+set} ]] || \builtin export "$name=${!kept}"
      \builtin unset -v "$kept"
    done
    _roled_returned=''
  }

  # The profile cannot be had: the user's own keys are back, and go aside again as soon as it can.
  _roled_go_back() {
    _roled_withdraw
    _roled_give_back
    _roled_returned="${AWS_ACCESS_KEY_ID-}"
  }

  _roled_remember() {
    _roled_key="${AWS_ACCESS_KEY_ID-}"
    if [[ -n $once ]]; then _roled_seen=''; else _roled_seen="${AWS_PROFILE-${AWS_DEFAULT_PROFILE-}} $_roled_key"; fi
  }

  # Tell the person, unless it is what they were told last.
  _roled_say() {
    \builtin test "$1" = "$_roled_said" || _roled_tell "$1"
    _roled_said="$1"
  }

  _roled_tell() {
    \builtin printf '%s\n' "${1//[!$'\n'[:print:]]/?}" >&2
  }

  # The DEBUG trap goes before the user's. `trap -p` sees that one only at the top level, so arming is a text for
  # PROMPT_COMMAND; it works once.
  # What the hook itself has in PROMPT_COMMAND needs no check before it: it is one.
  _roled_trap='{
  [[ $BASH_COMMAND == _roled_prompt || $BASH_COMMAND == "[[ -n \${_roled_armed-} ]]" ]] ||
    { [[ -z $_roled_pending && $BASH_COMMAND != *AWS_*PROFILE=* ]] && _roled_is_plain "$_" && _roled_is_current "$_"; }
} >/dev/null 2>&1 || _roled_command "$_"'
  _roled_arm='[[ -n ${FUNCNAME-} ]] || {
  _roled_armed=$(\builtin trap -p DEBUG)
  if [[ -z $_roled_armed || $_roled_armed == "trap -- - "* ]]; then
    \builtin trap "$_roled_trap" DEBUG
  else
    \builtin eval "_roled_armed=($_roled_armed)"
    \builtin trap "$_roled_trap
${_roled_armed[2]}" DEBUG
  fi
  \builtin unset -v _roled_armed
  _roled_armed=1
}'
  # bash parses the text of PROMPT_COMMAND at every prompt, so that is a short one.
  _roled_arm_once='{ [[ -n ${_roled_armed-} ]] || \builtin eval "$_roled_arm"; } 2>/dev/null'
  if [[ -n ${bash_preexec_imported-}${__bp_imported-} ]]; then
    precmd_functions+=(_roled_prompt)
    preexec_functions+=(_roled_preexec)
  elif ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
    PROMPT_COMMAND+=(_roled_prompt "$_roled_arm_once")
  else
    PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND
}_roled_prompt
$_roled_arm_once"
    \builtin export -n PROMPT_COMMAND # a child without the hook would not know these names
  fi

  [[ -z $_roled_allexport ]] || \builtin set -a
  \builtin unset -v _roled_allexport
fi
