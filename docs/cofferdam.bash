# Bash's completion for cofferdam; `make install` puts it where bash-completion finds it, or source it.
# Commands, options and what a command takes come from its own --help; names of VMs from `ps --names`, which asks no VM
# anything and so leaves no record. Where nothing fits, bash completes file names.

# The help of a command, or of cofferdam itself.
_cofferdam_help() { "${COMP_WORDS[0]}" "$@" --help 2>/dev/null; }

_cofferdam_offer() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}"); }

_cofferdam() {
	local current=${COMP_WORDS[COMP_CWORD]} command='' words=0 host=() i help usage
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--host)
			if [[ -z $command ]]; then
				[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
				((i + 1 >= COMP_CWORD)) && return # its file
				host=(--host "${COMP_WORDS[++i]}")
			fi
			;;
		-*) ;;
		*) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; else ((words++)); fi ;;
		esac
	done
	if [[ -z $command ]]; then
		help=$(_cofferdam_help)
		if [[ $current == -* ]]; then
			_cofferdam_offer "$(grep -oE -- '--[a-z-]+' <<<"$help" | sort -u)"
		else
			_cofferdam_offer "$(sed -n 's/^  \([a-z]\+\)  .*/\1/p' <<<"$help")"
		fi
		return
	fi
	help=$(_cofferdam_help "$command")
	usage=$(grep -E "^(Usage:|      ) cofferdam $command" <<<"$help")
	if [[ $current == -* ]]; then
		_cofferdam_offer "$(grep -oE -- '--[a-z][a-z-]+' <<<"$help" | sort -u)"
	elif ((words == 0)) && [[ $usage =~ \ NAME(\ |$) && ! $usage =~ cofferdam\ $command\ [a-z] ]]; then
		_cofferdam_offer "$("${COMP_WORDS[0]}" "${host[@]}" ps --names 2>/dev/null)"
	elif ((words == 0)); then
		_cofferdam_offer "$(sed -n "s/.*cofferdam $command \([a-z][a-z-]*\).*/\1/p" <<<"$usage" | sort -u)"
	fi
}
complete -o default -F _cofferdam cofferdam
