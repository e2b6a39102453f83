# SPDX-License-Identifier: Apache-2.0
# bash completion for lodge(1)

_lodge_run()
{
	case $prev in
	--kernel | --initrd | --disk | --firmware | --firmware-vars | --status-file | --debugcon | --net-pcap) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--net) mapfile -t COMPREPLY < <(compgen -W 'none user tap: bridge:' -- "$cur") ;;
	--every) mapfile -t COMPREPLY < <(compgen -W '1 10 100' -- "$cur") ;;
	--to) mapfile -t COMPREPLY < <(compgen -W 'kvm soft' -- "$cur") ;;
	--accel) mapfile -t COMPREPLY < <(compgen -W 'auto kvm soft' -- "$cur") ;;
	--cpu) mapfile -t COMPREPLY < <(compgen -W 'auto v1 v2 v3' -- "$cur") ;;
	-c | --cpus) mapfile -t COMPREPLY < <(compgen -W '1 2 4 8 16' -- "$cur") ;;
	-m | --memory) mapfile -t COMPREPLY < <(compgen -W '512M 1G 2G 4G' -- "$cur") ;;
	--publish | -p | --net-limit | --allow | --mac | --append | --name | -n | --code-cache | --soft-opts) ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$1"' --kernel --initrd --append --disk --firmware --firmware-vars --memory --cpus --accel --cpu --name
			--rm --rng --no-balloon --net --net-limit --net-pcap --publish --allow --mac --hpet --no-reboot
			 --debug-exit --debugcon --stats --status-file --code-cache --soft-opts --help --' -- "$cur")
		;;
	esac
}

_lodge()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word

	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W 'run pull images rmi disk doctor debug version help' -- "$cur")
		return
	fi
	for word in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
		[ "$word" != -- ] || return
	done
	case ${COMP_WORDS[1]} in
	run) if [ "$COMP_CWORD" = 2 ]; then _lodge_run debian; else _lodge_run; fi ;;
	debug)
		if [ "$COMP_CWORD" = 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W 'hop block' -- "$cur")
		else
			_lodge_run '--every --to'
		fi
		;;
	disk) mapfile -t COMPREPLY < <(compgen -f -W 'create info convert' -- "$cur") ;;
	pull) mapfile -t COMPREPLY < <(compgen -W 'debian debian:bookworm debian:trixie --size --mirror' -- "$cur") ;;
	rmi) mapfile -t COMPREPLY < <(compgen -W 'debian-bookworm debian-trixie' -- "$cur") ;;
	images | doctor | version) mapfile -t COMPREPLY < <(compgen -W '--json' -- "$cur") ;;
	help) mapfile -t COMPREPLY < <(compgen -W 'run pull images rmi disk doctor debug version help roadmap' -- "$cur") ;;
	esac
}

complete -o filenames -F _lodge lodge
