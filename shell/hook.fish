# roled's hook for fish: roled hook fish | source, in ~/.config/fish/config.fish.
#
# A check compares three things: AWS_PROFILE and AWS_ACCESS_KEY_ID with what the last check left (`seen`), the stamp,
# which the daemon removes when there is something new, and the clock. It starts no process. Only when one of them
# differs is the daemon asked (`refresh`). Checks are made before every prompt and every line, and fish tells of a new
# AWS_PROFILE as soon as it is set; it does not tell when a local one ends.
#
# fish has no clock. Times are ages of the stamp's file, which one builtin reads together with its existence.
#
# What roled exports it remembers in `_roled_set_NAME`; a variable is roled's for as long as it has that value. What the
# user had when an explicit switch of AWS_PROFILE took over is in `_roled_kept_NAME`. A child shell learns what is
# roled's from the exported marker ROLED_LEASE=KEY:EXPIRY:REGION:PROFILE.

if status is-interactive; and not set -qg _roled_runtime
    set -g _roled_runtime @RUNTIME@
    set -g _roled_python @PYTHON@
    set -g _roled_client @CLIENT@

    set -g _roled_wanted '' # the profile that commands see now
    set -g _roled_seen '' # "PROFILE KEY" as the last check left them; empty brings on the next one
    set -g _roled_profile '' # whose credentials were asked for last
    set -g _roled_key '' # AWS_ACCESS_KEY_ID as the last check left it
    set -g _roled_stamp / # a file whose absence means: ask again
    set -g _roled_since 0 # the last answer holds while the stamp's age is from `since` to `until`
    set -g _roled_until 0
    set -g _roled_expires 0 # epoch seconds
    set -g _roled_pending '' # credentials are on their way: the next command waits for them
    set -g _roled_returned '' # a key of the user's that is in only because roled has none
    set -g _roled_said '' # what the person was told last
    set -g _roled_attached '' # the daemon counts this shell as a user of some profile
    set -g _roled_fresh 1 # no check has been made yet
    set -g _roled_line '' # the line that is being run
    set -g _roled_ever 9999999999
    set -g _roled_names AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_CREDENTIAL_EXPIRATION \
        AWS_REGION AWS_DEFAULT_REGION ROLED_LEASE
    set -g _roled_users AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN \
        AWS_CREDENTIAL_EXPIRATION

    # How old the file is, in seconds; nothing if it is not there. Before fish 3.6, any clock that stops with the file.
    if builtin contains path (builtin -n); and builtin path mtime -R / >/dev/null 2>/dev/null
        function _roled_age
            builtin path mtime -R -- $argv
        end
        function _roled_now
            builtin math (builtin path mtime -- /) + (builtin path mtime -R -- /)
        end
    else
        function _roled_age
            builtin test -e $argv[1]; and command date +%s
        end
        function _roled_now
            command date +%s
        end
    end

    # A variable that is not exported does not count: commands do not see it.
    function _roled_find_profile
        if set -qx AWS_PROFILE
            set -g _roled_wanted "$AWS_PROFILE"
        else if set -qx AWS_DEFAULT_PROFILE
            set -g _roled_wanted "$AWS_DEFAULT_PROFILE"
        else
            set -g _roled_wanted ''
        end
    end

    function _roled_is_current
        if set -qx AWS_PROFILE # the usual case, without a call
            builtin test "$AWS_PROFILE $AWS_ACCESS_KEY_ID" = "$_roled_seen"; or return 1
        else
            _roled_find_profile
            builtin test "$_roled_wanted $AWS_ACCESS_KEY_ID" = "$_roled_seen"; or return 1
        end
        set -l age (_roled_age $_roled_stamp)
        builtin test -n "$age"; and builtin test $age -ge $_roled_since -a $age -lt $_roled_until
    end

    function _roled_before_prompt --on-event fish_prompt
        set -g _roled_line ''
        if _roled_is_current
            set -e -g _roled_asking
        else
            _roled_quietly _roled_refresh 0
        end
    end

    function _roled_before_line --on-event fish_preexec
        set -g _roled_line "$argv[1]"
        if builtin test -n "$_roled_pending"; or not _roled_is_current
            _roled_quietly _roled_refresh 1
        end
    end

    # As soon as a profile is chosen; what an rc file chooses waits for the first prompt.
    function _roled_on_variable --on-variable AWS_PROFILE --on-variable AWS_DEFAULT_PROFILE
        builtin test -z "$_roled_fresh"; or return 0
        if _roled_is_local; and not _roled_is_alone
            _roled_quietly _roled_close
        else if not _roled_is_current
            _roled_quietly _roled_refresh 1
        else if set -q AWS_PROFILE; and not set -qx AWS_PROFILE
            _roled_say "roled: AWS_PROFILE is not exported, so commands do not see it" "       set -gx AWS_PROFILE $AWS_PROFILE"
        end
    end

    function _roled_is_local
        set -S AWS_PROFILE AWS_DEFAULT_PROFILE | builtin string match -q '*local scope*'
    end

    # Whether the line is a single command with the variable before it: nothing follows that could get its keys.
    function _roled_is_alone
        builtin string match -qr -- '^\s*([A-Za-z_0-9]+=\S* +)*AWS_(DEFAULT_)?PROFILE=\S+ +[^;&|()\n{}]+$' "$_roled_line"
    end

    # Run the arguments untraced, for they handle secrets.
    function _roled_quietly
        set -l fish_trace
        $argv
        set -e -l fish_trace
        return 0
    end

    # Take roled's keys out until the next check. Without them every SDK resolves AWS_PROFILE itself, which gives the
    # right account whichever profile the commands will see.
    function _roled_close
        _roled_withdraw
        set -g _roled_key "$AWS_ACCESS_KEY_ID"
        set -g _roled_seen ''
    end

    # _roled_refresh WAIT: make the environment right. With WAIT=1 a command is about to start.
    function _roled_refresh --argument-names wait
        set -l first $_roled_fresh
        set -l switched ''
        set -l age (_roled_age $_roled_stamp)
        set -l interrupted $_roled_asking
        set -l early '' # whether the last answer still held but for its stamp
        builtin test -z "$age" -o "$age" -lt $_roled_until; and set early 1
        set -g _roled_fresh ''
        builtin test -z "$first"; or _roled_inherit
        _roled_hold 5 # armed before anything can block
        set -g _roled_pending ''
        _roled_find_profile
        builtin test "$_roled_wanted" = "$_roled_profile"; or set switched 1
        set -g _roled_profile "$_roled_wanted"

        if _roled_sees_foreign_keys
            if builtin test -z "$_roled_profile" -o -z "$switched" -o -n "$first" -o "$AWS_ACCESS_KEY_ID" != "$_roled_key"
                _roled_step_aside
                return
            end
            _roled_tell "roled: your own AWS keys are set aside until AWS_PROFILE is unset"
        end
        if builtin test -n "$switched" -o -z "$AWS_ACCESS_KEY_ID"
            _roled_withdraw
        end
        if builtin test -z "$_roled_profile"
            _roled_give_back
            if builtin test -n "$_roled_attached"; or set -qx AWS_PROFILE
                _roled_ask 0 # the daemon lets go of this shell
            end
            set -g _roled_attached ''
            set -g _roled_pending ''
            set -g _roled_returned ''
            _roled_hold $_roled_ever
        else
            _roled_set_aside
            if builtin test -n "$interrupted"
                set wait 0
            else if builtin test -n "$switched" -a -z "$first"
                set wait 1
            else if builtin test -n "$_roled_set_AWS_ACCESS_KEY_ID" -a -n "$early"
                builtin test (_roled_now) -lt $_roled_expires; and set wait 0
            end
            _roled_ask $wait
            builtin test -z "$interrupted"; or set -g _roled_pending ''
        end
        _roled_remember
    end

    # The answer holds for so many seconds from now, whatever happens to stamps.
    function _roled_hold
        set -g _roled_stamp /
        set -g _roled_since (_roled_age /)
        set -g _roled_until (builtin math $_roled_since + $argv[1])
    end

    function _roled_sees_foreign_keys
        builtin test -n "$AWS_ACCESS_KEY_ID" -a "$AWS_ACCESS_KEY_ID" != "$_roled_set_AWS_ACCESS_KEY_ID"; or return 1
        builtin test -z "$_roled_profile" -o "$AWS_ACCESS_KEY_ID" != "$_roled_returned"
    end

    # What the parent shell's roled left in the environment becomes this shell's.
    function _roled_inherit
        set -l IFS \n
        set -l marker (builtin string split -m 3 : -- "$ROLED_LEASE")
        builtin test (builtin count $marker) -eq 4; or return 0
        if builtin test -n "$AWS_ACCESS_KEY_ID" -a "$AWS_ACCESS_KEY_ID" != "$marker[1]"
            set -eg ROLED_LEASE
            return 0
        end
        for name in $_roled_names
            if not builtin contains $name AWS_REGION AWS_DEFAULT_REGION; or builtin test "$$name" = "$marker[3]"
                set -g _roled_set_$name "$$name"
            end
        end
        set -g _roled_expires 0
        builtin string match -qr '^[0-9]{1,11}$' -- $marker[2]; and set -g _roled_expires $marker[2]
        set -g _roled_profile (builtin string unescape --style=url -- $marker[4])
        set -g _roled_attached 1
    end

    # The user's own keys win: they were here before roled, or were exported by hand since.
    function _roled_step_aside
        _roled_withdraw
        for name in $_roled_users
            set -eg _roled_kept_$name
        end
        if builtin test -n "$_roled_profile"
            _roled_say "roled: your own AWS keys are in this shell, so AWS_PROFILE has no effect" \
                "       to use the profile: set -e AWS_ACCESS_KEY_ID"
        end
        _roled_hold $_roled_ever
        _roled_remember
    end

    function _roled_ask --argument-names wait
        set -l IFS \n
        set -l reply
        set -l result 0
        _roled_remember
        set -g _roled_asking 1 # stays if Ctrl-C ends this, and then nobody wants to wait for the next one
        if builtin test -x $_roled_python
            set reply (command $_roled_python -I -S $_roled_client $_roled_runtime fish $fish_pid - $wait)
            set result $status
        end
        set -e -g _roled_asking
        if builtin test $result -eq 0 -a "$reply[-1]" = OK
            _roled_apply $reply
        else if builtin string match -q 'ERR *' -- "$reply[-1]"
            _roled_do_without $wait "roled: "(builtin string replace -r '^ERR \S+ ' '' -- $reply[-1])
        else
            _roled_do_without $wait "roled: the daemon does not answer, so AWS_PROFILE=$_roled_profile has no credentials here" \
                "       see: roled logs"
        end
    end

    # The daemon's lines are data: names from a list, values never evaluated.
    function _roled_apply
        set -l IFS \n
        set -l told
        set -l changed ''
        set -l until 5
        for line in $argv
            set -l words (builtin string split -m 2 ' ' -- $line)
            switch "$words[1]"
                case set unset
                    set changed 1
                    builtin contains -- "$words[2]" $_roled_names; and _roled_$words[1] $words[2..]
                case until
                    builtin string match -qr '^[0-9]{1,9}$' -- $words[2]; and set until $words[2]
                case expires
                    builtin string match -qr '^[0-9]{1,9}$' -- $words[2]
                    and set -g _roled_expires (builtin math (_roled_now) + $words[2])
                case stamp
                    builtin string match -qr '^[A-Za-z0-9_-]+$' -- $words[2]
                    and set -g _roled_stamp $_roled_runtime/stamps/$words[2]
                case say
                    set -a told (builtin string sub -s 5 -- $line)
            end
        end
        set -g _roled_since (_roled_age $_roled_stamp; or echo 0)
        set -g _roled_until (builtin math $_roled_since + $until)
        set -g _roled_attached 1
        if set -qg _roled_set_AWS_ACCESS_KEY_ID
            builtin test -n "$told"; or set -g _roled_said ''
        else if builtin test -z "$changed$told" -a $until -le 5
            set -g _roled_pending 1
        else
            _roled_go_back
        end
        builtin test -z "$told"; or _roled_say $told
    end

    # _roled_do_without WAIT TEXT...: no answer, and what has not expired stays good.
    function _roled_do_without --argument-names wait
        set -l held "$_roled_set_AWS_ACCESS_KEY_ID"
        builtin test -n "$_roled_profile"; or return 0
        if builtin test -n "$held"; and builtin test (_roled_now) -lt $_roled_expires
            return 0
        end
        _roled_withdraw
        if builtin test -z "$held" -a $wait = 0
            set -g _roled_pending 1 # a daemon that is just starting; the next command says so if it does not
        else
            _roled_go_back
            _roled_say $argv[2..]
        end
    end

    function _roled_set
        set -g _roled_set_$argv[1] $argv[2]
        set -gx $argv[1] $argv[2]
    end

    function _roled_unset
        set -l ours _roled_set_$argv[1]
        if builtin test -n "$$ours"; and builtin test "$$argv[1]" = "$$ours"
            set -eg $argv[1]
        end
        set -eg $ours
    end

    # Take out what is roled's, and leave what the user has changed since.
    function _roled_withdraw
        for name in $_roled_names
            _roled_unset $name
        end
    end

    # Keep the user's own keys, if there are any, and take them out. Universal ones stay: roled's go over them.
    function _roled_set_aside
        not set -qg _roled_set_AWS_ACCESS_KEY_ID; or return 0
        for name in $_roled_users
            if set -qg $name
                set -g _roled_kept_$name "$$name"
                set -eg $name
            end
        end
        set -g _roled_returned "$AWS_ACCESS_KEY_ID"
    end

    function _roled_give_back
        for name in $_roled_users
            set -l kept _roled_kept_$name
            if set -qg $kept
                set -qg $name; or set -gx $name "$$kept"
                set -eg $kept
            end
        end
        set -g _roled_returned ''
    end

    # The profile cannot be had: the user's own keys are back, and go aside again as soon as it can.
    function _roled_go_back
        _roled_withdraw
        _roled_give_back
        set -g _roled_returned "$AWS_ACCESS_KEY_ID"
    end

    function _roled_remember
        set -g _roled_key "$AWS_ACCESS_KEY_ID"
        set -g _roled_seen "$_roled_profile $_roled_key"
    end

    # Tell the person, unless it is what they were told last.
    function _roled_say
        builtin test "$argv" = "$_roled_said"; or _roled_tell $argv
        set -g _roled_said "$argv"
    end

    function _roled_tell
        builtin string replace -ra '[[:cntrl:]]' '?' -- $argv >&2
    end
end
