# SPDX-License-Identifier: BSD-2-Clause
# bash completion of ebpfrt. tests/check/docs.sh compares it with the program's own option tables.

_ebpfrt_pids() {
	ps -u "$(id -u)" -o pid= 2>/dev/null
}

_ebpfrt_options() {
	case $1 in
	attach) echo '--pid --name --duration --output --prog --missing --allow-call --btf --debuginfo --no-follow --no-maps --json' ;;
	run) echo '--object --output --prog --missing --allow-call --btf --debuginfo --no-maps --json' ;;
	trace) echo '--pid --name --count --duration --string --deref --types --output --missing --btf --debuginfo --no-follow --json' ;;
	detach) echo '--pid --link --all' ;;
	ps) echo '--json --pretty' ;;
	prog) echo '--json --pretty' ;;
	map) echo '--json --pretty' ;;
	link) echo '--pid --json --pretty' ;;
	btf) echo '--output --debuginfo --object --json --pretty' ;;
	log) echo '--follow --json' ;;
	list) echo '--pid --json --pretty' ;;
	check) echo '--pid --prog --allow-call --btf --debuginfo --json --pretty' ;;
	doctor) echo '--pid --json --pretty' ;;
	exec) echo '--pid --allow-call --debuginfo' ;;
	shutdown) echo '--force' ;;
	esac
	echo '--help --version --quiet --verbose --color'
}

_ebpfrt_words() {
	case $1 in
	attach | list) _ebpfrt_pids ;;
	detach) ebpfrt ps --json 2>/dev/null | grep -o '"pid":[0-9]*' | cut -d: -f2 ;;
	prog) echo 'show list dump xlated jited id name tag pinned opcodes' ;;
	map) echo 'show list dump lookup update delete peek pop dequeue push enqueue pin id name pinned key value hex any exist noexist' ;;
	link) echo 'show list detach id pinned' ;;
	btf) echo 'show list dump gen header diff merge id file builtin format c raw json' ;;
	env) echo 'agent surface' ;;
	help) echo 'attach run trace detach ps prog map link btf log list check doctor exec env shutdown help version' ;;
	esac
}

_ebpfrt() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--)
			# the rest is another program's
			COMPREPLY=($(compgen -c -- "$cur"))
			return
			;;
		-*) ;;
		*)
			[[ -n $command ]] || command=${COMP_WORDS[i]}
			;;
		esac
	done
	case $prev in
	--pid | -p)
		COMPREPLY=($(compgen -W "$(_ebpfrt_pids)" -- "$cur"))
		return
		;;
	--missing)
		COMPREPLY=($(compgen -W 'warn ignore error' -- "$cur"))
		return
		;;
	--color)
		COMPREPLY=($(compgen -W 'auto always never' -- "$cur"))
		return
		;;
	--object | -P | --btf | --debuginfo | --output | -o | pinned | file)
		COMPREPLY=($(compgen -f -- "$cur"))
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$(_ebpfrt_options "$command")" -- "$cur"))
	elif [[ -z $command ]]; then
		COMPREPLY=($(compgen -W "$(_ebpfrt_words help)" -- "$cur"))
	else
		COMPREPLY=($(compgen -W "$(_ebpfrt_words "$command")" -- "$cur"))
		case $command in
		attach | check | run) COMPREPLY+=($(compgen -f -X '!*.o' -- "$cur") $(compgen -d -- "$cur")) ;;
		list) COMPREPLY+=($(compgen -f -- "$cur")) ;;
		esac
	fi
}
complete -o filenames -F _ebpfrt ebpfrt
