for program in $programs; do
    case $program in
    yk-cargo) command=enroll ;;
    registry-gateway) command=serve ;;
    mock-card) command=exec ;;
    esac
    # shellcheck disable=SC2016
    holds "$command" bash --norc -c '
        source /usr/share/bash-completion/bash_completion
        _completion_loader "$1"
        read -r -a words <<< "$(complete -p "$1")"
        for ((at = 0; at < ${#words[@]}; at++)); do [[ ${words[at]} != -F ]] || function=${words[at + 1]}; done
        COMP_WORDS=("$1" "") COMP_CWORD=1 COMP_LINE="$1 " COMP_POINT=$((${#1} + 1)) COMP_TYPE=9
        "$function" "$1" "" "$1"
        printf "%s\n" "${COMPREPLY[@]}"' bash "$program"
    # shellcheck disable=SC2016
    holds "_$program" zsh -fc 'autoload -Uz compinit && compinit -u -D && echo $_comps[$1] && autoload +X _$1' zsh "$program"
    # shellcheck disable=SC2016
    holds "$command" fish -c 'complete -C "$argv[1] "' "$program"
    pages=0
    for page in $(dpkg -L "$program" | grep '/man1/.*\.gz$'); do
        name=$(basename "$page" .1.gz)
        lexgrog "$page" > /dev/null || fail "$page has no name that apropos finds"
        [ "$(man -w 1 "$name")" = "$page" ] || fail "man does not find $name"
        pages=$((pages + 1))
    done
    man -P cat 1 "$program" | grep -q '^EXAMPLES' || fail "the page of $program has no examples"
    echo "   $pages manual pages of $program"
    [ $pages -ge 2 ] || fail "$program has $pages manual pages"
done
