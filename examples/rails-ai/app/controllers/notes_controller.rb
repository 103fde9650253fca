class NotesController < ApplicationController
  # The same key twice is the same note: whoever got no answer may ask again.
  def create
    note = Note.written(params.require(:key), params.require(:text))
    Embedding.bring_over([note])
    render json: note.shown, status: :created
  end

  def show
    render json: Note.find(params[:id]).shown
  end
end
