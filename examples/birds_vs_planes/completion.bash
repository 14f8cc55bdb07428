# Completion of birds_vs_planes for bash.

_birds_vs_planes() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]:-}
  local models="net width dropout batchnorm depth res resdeep resstrong"
  local any="--help --quiet --json" data="--data --batch-size --num-workers --drop-last-eval" options
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "train evaluate predict info show compare export report --help --version" -- "$word")
    return
  fi
  case $before in
    --model | --models) mapfile -t COMPREPLY < <(compgen -W "$models" -- "$word") ;;
    --device) mapfile -t COMPREPLY < <(compgen -W "auto cpu cuda reference" -- "$word") ;;
    --recipe) mapfile -t COMPREPLY < <(compgen -W "article strong" -- "$word") ;;
    --classes) mapfile -t COMPREPLY < <(compgen -W "2 10" -- "$word") ;;
    --precision) mapfile -t COMPREPLY < <(compgen -W "float32 tf32 bfloat16 float16" -- "$word") ;;
    --part) mapfile -t COMPREPLY < <(compgen -W "train validation" -- "$word") ;;
    --colours) mapfile -t COMPREPLY < <(compgen -W "auto true 256 none" -- "$word") ;;
    --data) mapfile -t COMPREPLY < <(compgen -W "synthetic" -d -- "$word") ;;
    --load | --save | --checkpoint | --log | --output) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --tensorboard) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    *)
      case $command in
        train)
          options="--model --load --device --threads $data --recipe --seed --epochs --lr --momentum --weight-decay --l2
            --classes --cutout --holdout --precision --eval-every --shards --timeout --save --checkpoint --resume --log --tensorboard" ;;
        evaluate) options="--model --load --device --threads $data" ;;
        predict) options="--model --load --device --threads" ;;
        info) options="--model --load" ;;
        show) options="--data --part --colours --output" ;;
        compare) options="--device --threads $data --seed --epochs --models --output" ;;
        export) options="--model --load --output" ;;
        report) options="--model --load --device --threads --data --log --output" ;;
        *) return ;;
      esac
      if [[ $command == predict && $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
      else
        mapfile -t COMPREPLY < <(compgen -W "$any $options" -- "$word")
      fi
      ;;
  esac
}

complete -o filenames -F _birds_vs_planes birds_vs_planes
